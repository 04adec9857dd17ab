"""Calibrate a model on images of people that it has not been trained on."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pmm_jax.api import Model
from pmm_jax.calibration import Calibration
from pmm_jax.config import Config
from pmm_jax.data.split import open_split
from pmm_jax.display import Display
from pmm_jax.embedding_table import EmbeddingTable
from pmm_jax.errors import UserError
from pmm_jax.evaluation.expansion import unit_length
from pmm_jax.evaluation.threshold import find_threshold
from pmm_jax.files import printable
from pmm_jax.inference import embed_run
from pmm_jax.workdir.run_config import load_run_config

Checkpoint = Literal["latest", "best"]


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Embedded images of known people.

    Example:
        >>> from pmm_jax.search.calibrate import LabeledImages
        >>> images = LabeledImages(
        ...     model.embed(["a.jpg", "b.jpg"]), np.array([7, 8]), np.array([1, 2]), "my photos"
        ... )
        >>> images.known_cameras()
        ('1', '2')
    """

    features: np.ndarray
    """(N, D) float32."""
    identities: np.ndarray
    """(N,) integers, 1 and above; 0 and below where nobody is known."""
    cameras: np.ndarray
    """(N,) integers; negative where unknown."""
    data: str
    """Name of the data set."""
    data_fingerprint: str | None = None
    """Of the data set, where it is known."""
    camera_names: dict[int, str] = field(default_factory=dict)
    """Names of cameras that are known by more than a number."""

    def known_cameras(self) -> tuple[str, ...]:
        """Names of the cameras that saw somebody known, sorted."""
        known = self.cameras[(self.identities > 0) & (self.cameras >= 0)]
        names = [self.camera_names.get(number, str(number)) for number in np.unique(known).tolist()]
        return tuple(sorted(map(printable, names)))


def labeled_run(
    workdir: Path, checkpoint: Checkpoint, root: str, display: Display
) -> LabeledImages:
    """Query and gallery of a run's data set, without the identities that it was trained on.

    Embedded as `Model.embed` does by default, which galleries hold: never averaged with the mirror
    image, even where the run's evaluation does that.

    Args:
        workdir: of the run.
        checkpoint: `latest` or `best`.
        root: where its images are now; empty where the run has them.
        display: shows progress.

    Raises:
        UserError: as `embed_run`; the run was trained on all of them.
    """
    config = _config(workdir, checkpoint, root)
    query, gallery = embed_run(config, workdir, display)
    assert query.paths is not None
    assert gallery.paths is not None
    # In a set without cameras a query may be in the gallery, too.
    _, rows = np.unique(np.concatenate([query.paths, gallery.paths]), return_index=True)
    trained = open_split(config.data, "train")
    identities = np.concatenate([query.identities, gallery.identities])
    is_new = ~np.isin(identities[rows], trained.identities)
    if not (identities[rows[is_new]] > 0).any():
        raise UserError(
            f"the run was trained on everybody in query and gallery of {config.data.root}; name "
            "images of other people: pmm calibrate RUN SOURCE"
        )
    if not is_new.all():
        count = int((~is_new).sum())
        display.info(f"{count} images of people that the run was trained on are left out")
    rows = rows[is_new]
    return LabeledImages(
        np.concatenate([query.features, gallery.features])[rows],
        identities[rows],
        np.concatenate([query.cameras, gallery.cameras])[rows],
        config.data.name,
        trained.fingerprint,
        dict(query.camera_names),
    )


def _config(workdir: Path, checkpoint: Checkpoint, root: str) -> Config:
    config = load_run_config(workdir)
    data = replace(config.data, root=root or config.data.root)
    evaluate = replace(config.evaluate, checkpoint=checkpoint, flip_average=False)
    return replace(config, data=data, evaluate=evaluate)


def labeled_table(table: EmbeddingTable, name: str) -> LabeledImages:
    """The images of a table with a column `id` and, where they are known, `camera`.

    Args:
        table: embedded by the model.
        name: of what it was read from.

    Raises:
        UserError: it has no column `id`.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.embedding_table import read_table
        >>> from pmm_jax.search.calibrate import labeled_table
        >>> images = labeled_table(read_table(Path("people.npz")), "people")
        >>> len(np.unique(images.identities)), images.known_cameras()
        (12, ('1', '2', '3'))
    """
    if "id" not in table.columns:
        raise UserError(f"{name} has no column id; a threshold needs to know who is on each image")
    identities, _ = numbered(table.columns["id"], least=1)
    cameras, camera_names = np.zeros(len(table), np.int64), dict[int, str]()
    if "camera" in table.columns:
        cameras, camera_names = numbered(table.columns["camera"], least=0)
    cameras[cameras == 0] = -1
    return LabeledImages(table.features, identities, cameras, name, None, camera_names)


def numbered(column: np.ndarray, least: int) -> tuple[np.ndarray, dict[int, str]]:
    """Numbers from 1 on for the values, 0 for unknown ones; the values by number.

    Args:
        column: (N,) integers, floating point or text.
        least: a number below it, or NaN, stands for none known; so does empty text.
    """
    values, numbers = np.unique(column.astype(str), return_inverse=True)
    known = np.array([_is_known(value, least) for value in values.tolist()])
    codes = np.where(known, np.arange(1, len(values) + 1), 0)
    return codes[numbers.ravel()], dict(zip(codes.tolist(), values.tolist(), strict=True))


def _is_known(value: str, least: int) -> bool:
    try:
        return float(value) >= least
    except ValueError:
        return bool(value.strip())


def calibrate_model(
    model: Model, images: LabeledImages, false_match_rate: float, seed: int
) -> Calibration:
    """The threshold of a model's distances at a rate of false matches.

    Args:
        model: that embedded the images.
        images: of people that it hasn't been trained on.
        false_match_rate: fraction of pairs of different people that may be taken for one person.
        seed: of the resampling.

    Raises:
        UserError: as `find_threshold`; or weights alone, whose distance nobody
            knows.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.embedding_table import read_table
        >>> from pmm_jax.search.calibrate import calibrate_model, labeled_table
        >>> images = labeled_table(read_table(Path("people.npz")), "people")
        >>> found = calibrate_model(model, images, false_match_rate=0.02, seed=0)
        >>> print(f"{found.threshold:.2f}; {found.missed_match_rate:.1%} of the matches are missed")
        3.98; 11.1% of the matches are missed
    """
    if model.info is None:
        raise UserError("the model is weights alone, and nobody knows how its distances are taken")
    distance, features = model.info.config.evaluate.distance, images.features
    if distance == "cosine":
        features = unit_length("features", features)
    found = find_threshold(features, images.identities, images.cameras, false_match_rate, seed)
    return Calibration(
        **found._asdict(),
        distance=distance,
        cameras=images.known_cameras(),
        data=printable(images.data),
        data_fingerprint=images.data_fingerprint,
        model=model.fingerprint,
        seed=seed,
    )
