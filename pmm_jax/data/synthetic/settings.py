"""Settings of a set of synthetic people: every number that decides which images are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from pmm_jax.config import SEEDS
from pmm_jax.errors import UserError
from pmm_jax.fields import check_fields, number


@dataclass(frozen=True)
class SyntheticSettings:
    """Size and difficulty of a set of synthetic people. The same settings give the same bytes."""

    train_identities: int = number(260, 1, 10_000)
    """People in bounding_box_train; none of them is seen again in query or gallery."""

    test_identities: int = number(120, 1, 10_000)
    """People in query and bounding_box_test."""

    seed: int = number(0, 0, SEEDS)
    """Seed of everything drawn: people, cameras, poses and noise."""

    cameras: int = number(6, 2, 9)
    """Cameras, each with its own light, color cast, sharpness, viewpoint and background; the
    names of Market-1501 hold one digit."""

    min_cameras_each: int = number(3, 2, 9)
    """Fewest cameras that one person walks past."""

    min_shots: int = number(2, 2, 100)
    """Fewest images of one person in one camera."""

    max_shots: int = number(4, 2, 100)
    """Most images of one person in one camera."""

    outfits: int = number(16, 1, 10_000)
    """Different outfits; people share them, so that clothes alone tell few people apart."""

    camera_strength: float = number(1.0, 0, 5)
    """How far cameras depart from a neutral one in color and light; 0 makes all neutral."""

    occlusion: float = number(0.35, 0, 1)
    """Fraction of images in which a pole, a box or another person hides part of the body."""

    distractors: int = number(150, 0, 100_000)
    """Images named 0000 in bounding_box_test: background and strangers, wrong for every query."""

    junk: int = number(150, 0, 100_000)
    """Images named -1 in bounding_box_test: badly cropped test people, ignored by the protocol."""

    def __post_init__(self) -> None:
        """Refuse numbers with which some query would have no match in another camera."""
        check_fields(self)
        if self.min_cameras_each > self.cameras:
            raise UserError(
                f"min_cameras_each is {self.min_cameras_each} and there are {self.cameras} cameras;"
                " lower the first or raise the second"
            )
        if self.max_shots < self.min_shots:
            raise UserError(
                f"max_shots is {self.max_shots}, below min_shots {self.min_shots}; raise it"
            )
