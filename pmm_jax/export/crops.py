"""Images of people that an exported file is checked on."""

from typing import NamedTuple

import numpy as np

from pmm_jax.data.decode import to_rgb
from pmm_jax.data.images import open_image
from pmm_jax.data.split import Split, open_split
from pmm_jax.data.synthetic import SyntheticSettings
from pmm_jax.data.synthetic.layout import QUERY, plan
from pmm_jax.errors import UserError
from pmm_jax.model_file import ModelInfo
from pmm_jax.pixels import pixels

COUNT = 64
"""Images that a file is checked on."""
PEOPLE = SyntheticSettings(train_identities=1, test_identities=32, cameras=2, min_cameras_each=2)


class Crops(NamedTuple):
    """Images of people.

    Example:
        >>> from pmm_jax.export.crops import Crops
        >>> crops = Crops([np.zeros((120, 45, 3), np.uint8)] * 8, "crops of our own detector")
        >>> crops.resized((128, 64)).shape
        (8, 128, 64, 3)
    """

    images: list[np.ndarray]
    """(h, w, 3) uint8 RGB each, in their own sizes."""
    source: str
    """For the card."""

    def resized(self, size: tuple[int, int]) -> np.ndarray:
        """All of them, bilinearly resized to height and width: (N, H, W, 3) uint8."""
        return np.stack([pixels(image, size) for image in self.images])


def find_crops(info: ModelInfo | None, count: int = COUNT) -> Crops:
    """Query images of the model's data set, evenly spaced; where it isn't there, synthetic people.

    Args:
        info: of the model; None where nothing is known of it.
        count: images, at most.

    Example:
        >>> from pmm_jax.export.crops import find_crops
        >>> crops = find_crops(model.info, count=4)
        >>> len(crops.images), crops.source
        (4, 'synthetic people')
    """
    if info is not None:
        try:
            split = open_split(info.config.data, "query")
            if split.fingerprint == info.data_fingerprint:
                return _images(split, count)
        # A model goes where its data set doesn't; the card says whose images were taken.
        except UserError:
            pass
    drawn = [draw for path, _, draw in plan(PEOPLE) if path.startswith(QUERY)]
    return Crops([np.asarray(draw()) for draw in drawn[:count]], "synthetic people")


def _images(split: Split, count: int) -> Crops:
    images = []
    for row in np.linspace(0, len(split) - 1, min(count, len(split))).astype(int):
        with open_image(split.read(row), split.filenames[row]) as image:
            images.append(np.asarray(to_rgb(image)))
    return Crops(images, "query images of the model's data set")
