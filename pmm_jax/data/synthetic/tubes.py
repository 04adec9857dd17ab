"""The one shape everything is drawn from: an upright tube with a profile and a painted skin.

A tube is round (or elliptical) in cross section, so what is painted on its front disappears when it
turns: that is what makes a logo a clue in some views and not in others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Color = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""

Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Skin of a tube: azimuth (n,) in radians, 0 = the person's front, and position along the tube (n,)
in [0, 1], to colors (3, n) float32 in [0, 1]."""

_AMBIENT, _DIFFUSE = 0.62, 0.46
_LIGHT_ACROSS, _LIGHT_FACING = -0.45, 0.89


@dataclass(frozen=True)
class Tube:
    """One part of a figure on the canvas; lengths in canvas pixels, x right and y down."""

    depth: float
    """Distance towards the viewer; nearer tubes are drawn over farther ones."""

    start: tuple[float, float]
    """Center of the first end, (x, y)."""

    end: tuple[float, float]
    """Center of the other end, (x, y)."""

    profile: tuple[float, ...]
    """Half widths at even steps from start to end."""

    paint: Paint
    """Colors of the skin."""

    yaw: float = 0.0
    """Rotation of the tube about its axis, radians; 0 shows its front."""

    cap: float = 1.0
    """Roundness of the ends: height of the end domes over the half width; 0 cuts them flat."""


def plain(color: Color) -> Paint:
    """A skin of one color."""
    value = np.asarray(color, np.float32)[:, None]
    return lambda azimuth, along: np.broadcast_to(value, (3, azimuth.size))


def draw_tube(canvas: np.ndarray, tube: Tube) -> None:
    """Draw one shaded tube into canvas (3, H, W) float32, contiguous, in place."""
    (x0, y0), (x1, y1) = tube.start, tube.end
    reach = max(tube.profile) * max(1.0, tube.cap) + 1
    height, width = canvas.shape[1:]
    left, right = max(int(min(x0, x1) - reach), 0), min(int(max(x0, x1) + reach) + 2, width)
    top, bottom = max(int(min(y0, y1) - reach), 0), min(int(max(y0, y1) + reach) + 2, height)
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x0)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y0)
    length = np.float32(max(float(np.hypot(x1 - x0, y1 - y0)), 1e-3))
    axis_x, axis_y = np.float32(x1 - x0) / length, np.float32(y1 - y0) / length
    along = (x * axis_x + y * axis_y) / length
    across = x * axis_y - y * axis_x
    # Most of the box around a slanted limb is outside: cut it away before the costly part.
    pixels = np.flatnonzero(np.abs(across) < np.float32(max(tube.profile)))
    along, across = along.ravel()[pixels], across.ravel()[pixels]
    clamped = np.minimum(np.maximum(along, np.float32(0)), np.float32(1))
    steps = np.arange(len(tube.profile)) / max(len(tube.profile) - 1, 1)
    radius = np.interp(clamped, steps, tube.profile).astype(np.float32)
    beyond = (along - clamped) * (length / np.float32(max(tube.cap, 1e-3))) / radius
    side = across / radius
    inside = np.flatnonzero(side * side + beyond * beyond < 1)
    side, clamped, pixels = side[inside], clamped[inside], pixels[inside]
    facing = np.sqrt(1 - side * side)
    azimuth = np.arcsin(side) - np.float32(tube.yaw)
    azimuth -= np.float32(2 * np.pi) * np.rint(azimuth * np.float32(0.5 / np.pi))
    light = _AMBIENT + _DIFFUSE * np.maximum(_LIGHT_ACROSS * side + _LIGHT_FACING * facing, 0)
    # From pixels of the box to pixels of the canvas.
    rows, columns = np.divmod(pixels, right - left)
    pixels = (rows + top) * width + columns + left
    # One color plane at a time: numpy is several times slower with the colors side by side.
    colors = tube.paint(azimuth, clamped) * light
    for plane, values in zip(canvas.reshape(3, -1), colors, strict=True):
        plane[pixels] = values


def draw_tubes(canvas: np.ndarray, tubes: list[Tube]) -> None:
    """Draw tubes from the farthest to the nearest into canvas (3, H, W) float32, in place."""
    for tube in sorted(tubes, key=lambda part: part.depth):
        draw_tube(canvas, tube)
