"""Where each head finds an identity on an image, or what made two images match."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.api import Model
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.report.heads import ALL, head_titles, parts, with_sum
from pmm_jax.report.page import write_page
from pmm_jax.report.pictures import HEIGHT, data_uri, overlay, resized
from pmm_jax.report.section import Content, Section

BATCH = 16
"""Images explained at once."""
PNG_HEIGHT = 512
"""Pixels of a picture in a file of its own."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Images with the CAMs of each head, and with several heads those of all together."""

    subtitle: str
    """What is explained, and by which model."""
    section: str
    """`identities` or `pair`."""
    title: str
    """Heading of the section."""
    images: list[np.ndarray]
    """(H, W, 3) uint8 each, in their own size."""
    cams: np.ndarray
    """(N, P, h, w), >= 0."""
    titles: list[str]
    """Of the P parts."""
    files: list[str]
    """Of the P parts, in the names of files."""
    values: dict[str, Any]
    """Numbers of the page: `images` has one entry an image, with its `path`."""
    lines: list[str]
    """The same, for the terminal."""
    display: Display
    name: str = "Explanation"
    missing: dict[str, str] = field(default_factory=dict)

    def write(self, out: Path) -> None:
        """Write a page with its numbers beside it, or a folder of PNG files.

        Args:
            out: a page where it ends in .html, a folder otherwise.

        Raises:
            UserError: it can't be written.
        """
        if out.suffix == ".html":
            write_page(self, [Section(self.section, self.title, Explanation.content)], out)
            return
        try:
            out.mkdir(parents=True, exist_ok=True)
            for number, (image, cams) in enumerate(zip(self.images, self.cams, strict=True), 1):
                stem = Path(self.values["images"][number - 1]["path"]).stem
                for part, cam in zip(self.files, cams, strict=True):
                    # Images of several folders may share their names.
                    file = out / f"{number:02}_{stem}_{part}.png"
                    overlay(image, cam, height=PNG_HEIGHT).save(file)
        except OSError as error:
            raise UserError(f"{out} can't be written: {error.strerror}") from error

    def content(self) -> Content:
        """The page's section."""
        pictures = [
            [data_uri(resized(image, 2 * HEIGHT)), *(data_uri(overlay(image, cam)) for cam in cams)]
            for image, cams in zip(self.images, self.cams, strict=True)
        ]
        return Content(self.values, {"pictures": pictures, "titles": ["Image", *self.titles]})


def explain_identities(
    model: Model, model_name: str, paths: Sequence[str], images: list[np.ndarray], display: Display
) -> Explanation:
    """Where each head finds the training identity that the heads name.

    Args:
        model: whose heads.
        model_name: for the heading.
        paths: of the images, for people.
        images: (H, W, 3) uint8 each, in their own size.
        display: shows progress.

    Raises:
        UserError: a bare ResNet-50.
    """
    size = min(len(images), BATCH)
    identities = model.classify(images, size)
    cams = with_sum(model.explain(images, identities, size))
    entries = [
        {"path": path, "identity": int(identity)}
        for path, identity in zip(paths, identities, strict=True)
    ]
    return Explanation(
        f"Training identities found by {model_name}",
        "identities",
        "What names the identity",
        images,
        cams,
        *parts_of(model),
        {"images": entries, "identities": model.classes},
        [f"{entry['path']}: training identity {entry['identity']}" for entry in entries],
        display,
    )


def explain_match(
    model: Model, model_name: str, paths: Sequence[str], images: list[np.ndarray], display: Display
) -> Explanation:
    """What in each of two images made them match.

    Args:
        model: whose heads.
        model_name: for the heading.
        paths: of the two, for people.
        images: (H, W, 3) uint8 each, in their own size.
        display: shows progress.
    """
    cams = with_sum(np.concatenate(model.explain_pair(images[:1], images[1:], 1)))
    embeddings = model.embed(images, 2)
    titles, files = parts_of(model)
    match = compare_pair(embeddings, parts(embeddings, model.network))
    values: dict[str, Any] = {"images": [{"path": path} for path in paths], **match}
    values["heads"] = dict(zip(match["heads"], titles, strict=False))
    shares = (
        f"{title} {100 * match['share'][name]:.1f} %"
        for name, title in values["heads"].items()
        if np.isfinite(match["share"][name])
    )
    lines = [
        f"distance {match['distance']:.4g}, cosine {match['cosine']:.4f}",
        f"of the inner product: {', '.join(shares) or '-'}",
    ]
    return Explanation(
        f"Two images compared by {model_name}",
        "pair",
        "What made the two match",
        images,
        cams,
        titles,
        files,
        values,
        lines,
        display,
    )


def compare_pair(embeddings: np.ndarray, heads: dict[str, np.ndarray]) -> dict[str, Any]:
    """Distance and cosine of two embeddings, and what each head has in their inner product.

    Args:
        embeddings: (2, D).
        heads: (2, d) each, whose lengths add up to D.

    Returns:
        `distance` (Euclidean) and `cosine` of the two; by head `distances`, `products`, and
        `share`, the part of the whole inner product.
    """
    one, other = embeddings.astype(np.float64)
    product = one @ other
    products = {name: float(x[0].astype(np.float64) @ x[1]) for name, x in heads.items()}
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "distance": float(np.linalg.norm(one - other)),
            "cosine": float(product / np.linalg.norm(one) / np.linalg.norm(other)),
            "product": float(product),
            "heads": list(heads),
            "distances": {n: float(np.linalg.norm(x[0] - x[1])) for n, x in heads.items()},
            "products": products,
            "share": {name: float(value / product) for name, value in products.items()},
        }


def parts_of(model: Model) -> tuple[list[str], list[str]]:
    """Titles of the CAMs that `with_sum` gives, and names for files."""
    titles, files = head_titles(model.network), list(model.network.embedding_sizes)
    return (titles, files) if len(titles) == 1 else ([*titles, ALL], [*files, ALL.lower()])
