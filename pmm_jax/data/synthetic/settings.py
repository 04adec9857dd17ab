"""What a set of made-up people is: every number that decides which images are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from pmm_jax.errors import UserError


@dataclass(frozen=True)
class SyntheticSettings:
    """Size and difficulty of a set of made-up people. The same settings give the same bytes."""

    train_identities: int = 260
    """People in bounding_box_train; none of them is seen again in query or gallery."""

    test_identities: int = 120
    """People in query and bounding_box_test."""

    seed: int = 0
    """Seed of everything drawn: people, cameras, poses and noise."""

    cameras: int = 6
    """Cameras, each with its own light, colour cast, sharpness, viewpoint and background."""

    min_cameras_each: int = 3
    """Fewest cameras that one person walks past."""

    min_shots: int = 2
    """Fewest images of one person in one camera."""

    max_shots: int = 4
    """Most images of one person in one camera."""

    outfits: int = 16
    """Different outfits; people share them, so that clothes alone tell few people apart."""

    camera_strength: float = 1.0
    """How far cameras depart from a neutral one in colour and light; 0 makes all neutral."""

    occlusion: float = 0.35
    """Share of images in which a pole, a box or another person hides part of the body."""

    distractors: int = 150
    """Images named 0000 in bounding_box_test: background and strangers, wrong for every query."""

    junk: int = 150
    """Images named -1 in bounding_box_test: badly cropped test people, ignored by the protocol."""

    def __post_init__(self) -> None:
        """Refuse numbers with which some query would have no match in another camera."""
        least = {
            "train_identities": 1,
            "test_identities": 1,
            "seed": 0,
            "cameras": 2,
            "min_cameras_each": 2,
            "min_shots": 2,
            "outfits": 1,
            "distractors": 0,
            "junk": 0,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least {bound}")
        if self.cameras > 9:
            raise UserError(f"cameras is {self.cameras}; Market-1501 names hold one digit, use 2-9")
        if self.min_cameras_each > self.cameras:
            raise UserError(
                f"min_cameras_each is {self.min_cameras_each} and there are {self.cameras} cameras;"
                " lower the first or raise the second"
            )
        if self.max_shots < self.min_shots:
            raise UserError(
                f"max_shots is {self.max_shots}, below min_shots {self.min_shots}; raise it"
            )
