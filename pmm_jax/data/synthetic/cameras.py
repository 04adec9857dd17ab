"""What a camera does to a picture, in light, color and sharpness, and what is behind people."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi

import numpy as np
from PIL import Image, ImageFilter

from pmm_jax.data.synthetic.settings import SyntheticSettings
from pmm_jax.data.synthetic.streams import Stream, stream
from pmm_jax.data.synthetic.tubes import Color

SCENE_SIZE = 512
"""Side of the scene behind people, canvas pixels."""

HORIZON = 230
"""Row of the scene where the wall meets the ground."""

PLACES = 5
"""Different backgrounds in the view of one camera."""

_WALLS: tuple[Color, ...] = (
    (0.55, 0.52, 0.47),
    (0.50, 0.43, 0.38),
    (0.42, 0.44, 0.47),
    (0.44, 0.47, 0.39),
)
_GROUNDS: tuple[Color, ...] = (
    (0.54, 0.52, 0.49),
    (0.49, 0.45, 0.41),
    (0.45, 0.47, 0.41),
)
# All cameras look at the same few materials: were each to have its own, a picture's colors would
# name its camera, and nothing else could be found by color.

_LUMA = np.array([0.30, 0.59, 0.11], np.float32)


@dataclass(frozen=True)
class Camera:
    """One camera's look; everything but the views is the same for all people."""

    gains: tuple[float, float, float]
    """Color cast: factor on red, green, blue."""
    gamma: float
    """Exponent on brightness: above 1 darkens the middle."""
    saturation: float
    """Colorfulness; 1 leaves it."""
    haze: float
    """Light added everywhere: what black becomes."""
    blur: float
    """Radius of the Gaussian blur, pixels of the 64 x 128 image."""
    noise: float
    """Standard deviation of the noise, in [0, 1] units."""
    quality: int
    """JPEG quality."""
    view: float
    """Yaw at which most people are seen, radians."""
    zoom: float
    """Body height over the box height."""


@lru_cache(maxsize=64)
def camera(settings: SyntheticSettings, index: int) -> Camera:
    """The camera with this index.

    Casts and gammas go round evenly instead of at random, so that no seed makes cameras alike.
    """
    rng = stream(settings.seed, Stream.CAMERA, index)
    strength = settings.camera_strength
    fraction = index / settings.cameras
    hue = 2 * pi * fraction
    cast = strength * 0.035
    # Three steps around the circle apart: neighbors in hue are not neighbors in brightness.
    tone = ((index * 5) % settings.cameras) / max(settings.cameras - 1, 1) * 2 - 1
    return Camera(
        gains=(
            1 + cast * cos(hue),
            1 + 0.6 * cast * cos(hue - 2 * pi / 3),
            1 + cast * cos(hue + 2 * pi / 3),
        ),
        gamma=float(np.exp(0.14 * strength * tone)),
        saturation=1 + 0.16 * strength * float(rng.uniform(-1, 1)),
        haze=0.05 * strength * float(rng.random()),
        blur=float(rng.uniform(0.3, 0.9)),
        noise=float(rng.uniform(0.01, 0.03)),
        quality=int(rng.integers(70, 92)),
        view=2 * pi * ((index * 2 + 0.3) % settings.cameras) / settings.cameras,
        zoom=float(rng.uniform(0.9, 0.98)),
    )


@lru_cache(maxsize=64)
def scene(settings: SyntheticSettings, index: int, place: int) -> np.ndarray:
    """What is behind people in one place of a camera's view: wall above ground.

    Returns (3, 512, 512) float32 in [0, 1]; `place` is below PLACES.
    """
    rng = stream(settings.seed, Stream.SCENE, index, place)
    y, x = np.mgrid[:SCENE_SIZE, :SCENE_SIZE].astype(np.float32)
    wall = np.multiply(_WALLS[rng.integers(len(_WALLS))], rng.uniform(0.85, 1.15))
    ground = np.multiply(_GROUNDS[rng.integers(len(_GROUNDS))], rng.uniform(0.85, 1.15))
    picture = np.where((y < HORIZON)[..., None], wall, ground).astype(np.float32)
    brick = float(rng.uniform(24, 70))
    shift = (y // brick % 2) * brick / 2
    joints = ((y % brick < 3) | ((x + shift) % (2 * brick) < 3)) & (y < HORIZON)
    picture[joints] = wall * 0.75
    # Lines on the ground draw together with distance, as paving does.
    depth = 60 / (np.maximum(y - HORIZON, 0) + 25)
    slabs = ((x - SCENE_SIZE / 2) * depth % 24 < 1.5) | (1 / (depth + 0.05) % 0.9 < 0.12)
    picture[slabs & (y >= HORIZON)] = ground * 0.8
    for _ in range(9):
        # Doors, windows, posters, bicycles: upright clutter at the foot of the wall.
        left, wide = int(rng.integers(0, SCENE_SIZE)), int(rng.integers(6, 60))
        top, tall = int(rng.integers(40, HORIZON - 10)), int(rng.integers(20, 140))
        foot = min(top + tall, HORIZON + 12)
        shade = np.multiply(_WALLS[rng.integers(len(_WALLS))], rng.uniform(0.4, 1.3))
        picture[top:foot, left : left + wide] = shade
    blotches = rng.normal(0, 1, (16, 16)).astype(np.float32)
    patches = np.asarray(
        Image.fromarray(blotches).resize((SCENE_SIZE, SCENE_SIZE), Image.Resampling.BICUBIC)
    )
    picture *= (1 + 0.08 * patches)[..., None]
    return np.ascontiguousarray(np.clip(picture, 0, 1).transpose(2, 0, 1), np.float32)


def develop(canvas: np.ndarray, look: Camera, rng: np.random.Generator) -> Image.Image:
    """The picture a camera makes of a canvas of twice its size.

    Args:
        canvas: (3, 2H, 2W) float32 in [0, 1].
        look: the camera.
        rng: draws the noise and the light of the moment.

    Returns:
        RGB image of H x W pixels.
    """
    rows = canvas[:, ::2] + canvas[:, 1::2]
    light = rows[..., ::2] + rows[..., 1::2]
    # Sun, shade and white balance change from one moment to the next.
    moment = rng.uniform(0.92, 1.08) * (1 + rng.normal(0, 0.02, 3))
    light *= (0.25 * moment * look.gains).astype(np.float32)[:, None, None]
    gray = np.einsum("c,chw->hw", _LUMA, light)
    light = gray + look.saturation * (light - gray)
    gamma = look.gamma * rng.uniform(0.9, 1.1)
    light = look.haze + (1 - look.haze) * np.clip(light, 0, 1) ** np.float32(gamma)
    eight_bit = _image(light * 255)
    radius = look.blur * rng.uniform(0.7, 1.6)
    blurred = np.asarray(eight_bit.filter(ImageFilter.GaussianBlur(radius))).transpose(2, 0, 1)
    noise = rng.standard_normal(light.shape, np.float32) * np.float32(255 * look.noise)
    return _image(blurred + noise)


def _image(planes: np.ndarray) -> Image.Image:
    eight_bit = np.clip(planes, 0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(eight_bit.transpose(1, 2, 0)))
