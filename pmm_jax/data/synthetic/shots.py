"""One image: a person in a pose before a camera's scene, perhaps partly hidden, and cropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi

import numpy as np
from PIL import Image

from pmm_jax.data.synthetic.cameras import HORIZON, PLACES, SCENE_SIZE, camera, develop, scene
from pmm_jax.data.synthetic.drawing import draw_person
from pmm_jax.data.synthetic.identities import STRANGERS, person
from pmm_jax.data.synthetic.pose import Pose
from pmm_jax.data.synthetic.settings import SyntheticSettings
from pmm_jax.data.synthetic.streams import Stream, stream
from pmm_jax.data.synthetic.tubes import Tube, draw_tube, plain

WIDTH, HEIGHT = 64, 128
"""Size of an image, pixels: Market-1501's."""

_CANVAS_W, _CANVAS_H = 2 * WIDTH, 2 * HEIGHT
"""Drawn at twice the size, so that edges come out smooth."""


@dataclass(frozen=True)
class Shot:
    """Which image of which person: the key of everything random in it."""

    identity: int
    camera: int
    index: int


def photograph(settings: SyntheticSettings, shot: Shot) -> Image.Image:
    """A labeled image, RGB 64 x 128: a function of (settings, shot) alone."""
    rng = stream(settings.seed, Stream.SHOT, shot.identity, shot.camera, shot.index)
    canvas = _backdrop(settings, shot.camera, rng)
    pose = _pose(settings, shot, rng)
    hidden = rng.random() < settings.occlusion
    kind = rng.choice(["pole", "box", "passer-by in front", "passer-by behind"]) if hidden else ""
    if kind == "passer-by behind":
        _passer_by(settings, canvas, pose, rng, 0.85)
    draw_person(canvas, person(settings, shot.identity), pose)
    if kind == "passer-by in front":
        _passer_by(settings, canvas, pose, rng, 1.05)
    elif kind in ("pole", "box"):
        _obstacle(canvas, str(kind), rng)
    return develop(canvas, camera(settings, shot.camera), rng)


def photograph_junk(settings: SyntheticSettings, shot: Shot) -> Image.Image:
    """An image of a person so badly cropped that the protocol ignores it, RGB 64 x 128."""
    rng = stream(settings.seed, Stream.JUNK, shot.identity, shot.camera, shot.index)
    canvas = _backdrop(settings, shot.camera, rng)
    draw_person(canvas, person(settings, shot.identity), _miss(_pose(settings, shot, rng), rng))
    return develop(canvas, camera(settings, shot.camera), rng)


def photograph_distractor(settings: SyntheticSettings, index: int, seen_by: int) -> Image.Image:
    """A false detection, RGB 64 x 128: empty background, or part of someone never labeled."""
    rng = stream(settings.seed, Stream.DISTRACTOR, index)
    canvas = _backdrop(settings, seen_by, rng)
    if rng.random() < 0.6:
        shot = Shot(STRANGERS + index, seen_by, 0)
        pose = _pose(settings, shot, rng)
        if rng.random() < 0.6:
            pose = _miss(pose, rng)
        draw_person(canvas, person(settings, shot.identity), pose)
    else:
        _obstacle(canvas, "pole" if rng.random() < 0.5 else "box", rng)
    return develop(canvas, camera(settings, seen_by), rng)


def yaw_of_visit(settings: SyntheticSettings, identity: int, seen_by: int) -> float:
    """Direction, radians, in which a person walks past a camera, the same in all its shots."""
    rng = stream(settings.seed, Stream.VISIT, identity, seen_by)
    view = camera(settings, seen_by).view
    # A path is walked both ways, one of them more often.
    return float(view + (pi if rng.random() < 0.35 else 0.0) + rng.normal(0, 0.45))


def _pose(settings: SyntheticSettings, shot: Shot, rng: np.random.Generator) -> Pose:
    height = _CANVAS_H * camera(settings, shot.camera).zoom * rng.uniform(0.95, 1.08)
    return Pose(
        yaw=yaw_of_visit(settings, shot.identity, shot.camera) + float(rng.normal(0, 0.2)),
        stride=float(rng.uniform(0, 2 * pi)),
        gait=float(rng.uniform(0.1, 0.45)),
        raised_arm=bool(rng.random() < 0.12),
        foot_x=_CANVAS_W / 2 + float(rng.normal(0, 6)),
        foot_y=_CANVAS_H / 2 + height / 2 + float(rng.normal(0, 6)),
        height=float(height),
    )


def _miss(pose: Pose, rng: np.random.Generator) -> Pose:
    """The pose as a detector crops it that has lost half of the body."""
    away = float(rng.choice([-1, 1]))
    return replace(
        pose,
        height=pose.height * float(rng.uniform(1.0, 1.7)),
        foot_x=pose.foot_x + away * float(rng.uniform(0.3, 0.5)) * _CANVAS_W,
        foot_y=pose.foot_y + float(rng.uniform(-0.2, 0.5)) * _CANVAS_H,
    )


def _backdrop(settings: SyntheticSettings, seen_by: int, rng: np.random.Generator) -> np.ndarray:
    left = int(rng.integers(0, SCENE_SIZE - _CANVAS_W))
    # The ground begins somewhere between a person's shoulders and knees.
    top = HORIZON - int(rng.integers(60, 190))
    place = int(rng.integers(PLACES))
    return scene(settings, seen_by, place)[:, top : top + _CANVAS_H, left : left + _CANVAS_W].copy()


def _passer_by(
    settings: SyntheticSettings,
    canvas: np.ndarray,
    pose: Pose,
    rng: np.random.Generator,
    size: float,
) -> None:
    who = STRANGERS + int(rng.integers(100_000))
    away = float(rng.choice([-1, 1])) * float(rng.uniform(0.34, 0.5))
    other = replace(
        pose,
        yaw=float(rng.uniform(0, 2 * pi)),
        stride=float(rng.uniform(0, 2 * pi)),
        foot_x=_CANVAS_W / 2 + away * _CANVAS_W,
        height=pose.height * size,
        foot_y=pose.foot_y + (size - 1) * 0.4 * pose.height,
    )
    draw_person(canvas, person(settings, who), other)


def _obstacle(canvas: np.ndarray, kind: str, rng: np.random.Generator) -> None:
    gray = float(rng.uniform(0.2, 0.7))
    red, green, blue = (float(v) for v in np.clip(gray + rng.uniform(-0.1, 0.1, 3), 0, 1))
    x = float(rng.uniform(0.1, 0.9)) * _CANVAS_W
    if kind == "pole":
        top, wide = -10.0, float(rng.uniform(6, 12))
    else:
        top, wide = float(rng.uniform(0.6, 0.8)) * _CANVAS_H, float(rng.uniform(20, 45))
    ends = (x, top), (x, _CANVAS_H + 10.0)
    draw_tube(canvas, Tube(0.0, *ends, (wide,), plain((red, green, blue)), cap=0.1))
