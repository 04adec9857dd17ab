"""Deletion check of explain_pair: does blanking what it calls responsible lower the similarity?

    python -m benchmarks.deletion WORKDIR [--queries 300] [--json]

Of a run's queries with a match, a few hundred sampled at random, each beside its nearest match and
its nearest wrong image by the whole embedding. In the query image the cells where a CAM is highest
are blanked, a tenth of the map, and a random tenth, several times; what counts is how much more the
cosine similarity falls. Each head has its own CAM and the cosine of its own embeddings; all heads
together have the sum of the CAMs and the cosine of the whole embeddings. A cell is blanked as its
16x16 pixels in ImageNet's mean color, which normalization makes 0 (to half of one of 256 levels).
Intervals are 95 % bootstrap intervals over the queries.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pmm_jax.api import Model
from pmm_jax.cli.program import main
from pmm_jax.config_check import STRIDE
from pmm_jax.data.augment import MEAN
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.bootstrap import paired_bootstrap
from pmm_jax.files import user_path
from pmm_jax.pixels import pixels
from pmm_jax.report.heads import head_titles, parts, with_sum
from pmm_jax.report.run_data import RunData

FRACTION = 0.1
"""Of the map's cells that are blanked."""
DRAWS = 5
"""Random sets of cells for each image."""
BATCH = 64


class Pairs(NamedTuple):
    """Query images, each with a partner: rows of query and gallery."""

    queries: np.ndarray
    partners: np.ndarray


def nearest_pairs(
    query: Embeddings, gallery: Embeddings, count: int, seed: int
) -> dict[str, Pairs]:
    """Some queries with their nearest match, and with their nearest image of another identity.

    Args:
        query: as ranked.
        gallery: likewise, without junk.
        count: queries, at most.
        seed: of the sample.

    Raises:
        UserError: no query has both.
    """
    rows = np.random.default_rng(seed).permutation(len(query.identities))
    found: list[tuple[int, int, int]] = []
    for row in rows:
        same = gallery.identities == query.identities[row]
        match = same & (gallery.cameras != query.cameras[row])
        if match.any() and not same.all():
            squares = np.square(gallery.features - query.features[row]).sum(1)
            right, wrong = (int(np.where(x, squares, np.inf).argmin()) for x in (match, ~same))
            found.append((int(row), right, wrong))
        if len(found) == count:
            break
    if not found:
        raise UserError("no query has a match and another identity to be told from")
    queries, matches, others = np.array(sorted(found)).T
    return {"match": Pairs(queries, matches), "wrong": Pairs(queries, others)}


def highest_cells(cams: np.ndarray, fraction: float = FRACTION) -> np.ndarray:
    """(N, h, w) bool, True in the cells where CAMs (N, h, w) are highest; at least one."""
    flat = cams.reshape(len(cams), -1)
    chosen = np.argsort(-flat, axis=1, kind="stable")[:, : cells_of(cams.shape[1:], fraction)]
    return _at(chosen, cams.shape)


def random_cells(
    rng: np.random.Generator, shape: tuple[int, int, int], fraction: float = FRACTION
) -> np.ndarray:
    """As many cells as `highest_cells` chooses, at random for each image: (N, h, w) bool."""
    ranks = rng.random((shape[0], shape[1] * shape[2]))
    return _at(np.argsort(ranks, axis=1)[:, : cells_of(shape[1:], fraction)], shape)


def cells_of(size: Sequence[int], fraction: float) -> int:
    """Cells of a map (h, w) that are blanked."""
    return max(1, round(fraction * size[0] * size[1]))


def blanked(images: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Images (N, H, W, 3) uint8 with the cells (N, h, w) in ImageNet's mean color."""
    mask = cells.repeat(STRIDE, axis=1).repeat(STRIDE, axis=2)
    color = np.rint(255 * MEAN).astype(np.uint8)
    return np.where(mask[..., None], color[None, None, None], images)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) cosine of the rows of (N, D); 0 where an embedding is 0."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    products = (one * other).sum(1)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


class Drops(NamedTuple):
    """How far a similarity fell, (N,) each."""

    similarity: np.ndarray
    """Before."""
    top: np.ndarray
    """With the highest cells of the CAM blanked."""
    random: np.ndarray
    """With random cells blanked, mean over the draws."""


def deletion_drops(
    model: Model, images: np.ndarray, others: np.ndarray, seed: int
) -> dict[str, dict[str, Drops]]:
    """How far each similarity of pairs falls where cells of the first image are blanked.

    Args:
        model: what embeds and explains.
        images: (N, H, W, 3) uint8, at the model's size.
        others: likewise, a partner for each.
        seed: of the random cells.

    Returns:
        By head, and `all` for the CAMs together: `own`, of the cosine of the head's embeddings;
        and `whole`, of the cosine of the whole embeddings. They are the same of `all`.
    """
    network = model.network
    cams = with_sum(model.explain_pair(images, others, BATCH)[0])
    rng = np.random.default_rng(seed)

    def pieces(pictures: np.ndarray) -> dict[str, np.ndarray]:
        whole = model.embed(pictures, BATCH)
        return {**parts(whole, network), "all": whole}

    theirs = pieces(others)

    def similarities(pictures: np.ndarray) -> dict[str, np.ndarray]:
        return {name: cosines(mine, theirs[name]) for name, mine in pieces(pictures).items()}

    before = similarities(images)
    shape = (len(cams), *cams.shape[2:])
    draws = [similarities(blanked(images, random_cells(rng, shape))) for _ in range(DRAWS)]
    found = {}
    for position, name in enumerate([*network.embedding_sizes, "all"]):
        cam = cams[:, min(position, cams.shape[1] - 1)]
        after = similarities(blanked(images, highest_cells(cam)))
        found[name] = {
            kind: Drops(
                before[of],
                before[of] - after[of],
                before[of] - np.mean([draw[of] for draw in draws], axis=0),
            )
            for kind, of in (("own", name), ("whole", "all"))
        }
    return found


def _at(chosen: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    cells = np.zeros((shape[0], shape[1] * shape[2]), bool)
    np.put_along_axis(cells, chosen, True, axis=1)
    return cells.reshape(shape)


def row_of(drops: Drops, seed: int) -> dict[str, float]:
    """Means of a similarity and its drops, and the interval of the drops' difference."""
    difference = paired_bootstrap(drops.top, drops.random, seed)
    return {
        "similarity": float(drops.similarity.mean()),
        "top": float(drops.top.mean()),
        "random": float(drops.random.mean()),
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "more": float((drops.top > drops.random).mean()),
    }


def deletion_command(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.deletion", description="Deletion check of explain_pair."
    )
    parser.add_argument("workdir", type=user_path, metavar="WORKDIR", help="a run's folder")
    parser.add_argument("--queries", type=int, default=300, help="at most")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.queries < 1:
        raise UserError(f"--queries is {options.queries}; it must be at least 1")
    run = RunData(options.workdir, Display(stderr=True))
    query, gallery = run.ranked
    seed, size = run.config.evaluate.seed, run.config.data.image_size

    def read(images: Embeddings, rows: np.ndarray) -> np.ndarray:
        assert images.paths is not None
        return np.stack([pixels(run.image(path), size) for path in images.paths[rows]])

    titles = dict(
        zip(run.model.network.embedding_sizes, head_titles(run.model.network), strict=True)
    )
    tables: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for kind, pairs in nearest_pairs(query, gallery, options.queries, seed).items():
        images, others = read(query, pairs.queries), read(gallery, pairs.partners)
        drops = deletion_drops(run.model, images, others, seed)
        tables[kind] = {
            name: {of: row_of(one, seed) for of, one in both.items()}
            for name, both in drops.items()
        }
    if options.json:
        print(json.dumps({"run": run.name, "queries": len(images), **tables}))
        return
    for kind, table in tables.items():
        print(f"{len(images)} queries, nearest {kind}")
        print(f"{'CAM':<16}{'cosine':<8}{'before':>8}{'top':>8}{'random':>8}{'more by':>9}  95 %")
        for name, both in table.items():
            for of, row in both.items():
                if name == "all" and of == "own":
                    continue
                print(
                    f"{titles.get(name, 'All'):<16}{of:<8}{row['similarity']:>8.3f}"
                    f"{row['top']:>8.3f}{row['random']:>8.3f}{row['difference']:>9.3f}"
                    f"  {row['low']:.3f} to {row['high']:.3f}"
                )


if __name__ == "__main__":
    main(deletion_command)
