"""What is painted on clothes and heads: patterns, logos, straps, hair and face."""

from __future__ import annotations

import numpy as np

from pmm_jax.data.synthetic.identities import Person
from pmm_jax.data.synthetic.tubes import Color, Paint

_ARC = 0.34
"""Length of one radian around the chest over the length of the top: makes patterns square."""

_LOGO_SIZE = 0.2
"""Half the logo's side over the length of the top."""


def pattern_mask(
    kind: str, azimuth: np.ndarray, along: np.ndarray, period: float, phase: float
) -> np.ndarray:
    """Where a pattern shows its accent color: azimuth (n,) radians, along (n,) -> bool (n,)."""
    column = azimuth * _ARC / period + phase
    row = along / period + phase
    if kind == "hoops":
        return row % 1 < 0.45
    if kind == "stripes":
        return column % 1 < 0.4
    if kind == "checks":
        return (column % 1 < 0.5) ^ (row % 1 < 0.5)
    if kind == "dots":
        return (column % 1 - 0.5) ** 2 + (row % 1 - 0.5) ** 2 < 0.1
    if kind == "yoke":
        return along < 0.25 + 0.3 * phase
    if kind == "halves":
        return azimuth > 0
    if kind == "sash":
        return np.abs(along - 0.5 - azimuth * 0.3) < 0.5 * period
    return np.zeros(azimuth.shape, bool)


def logo_mask(kind: str, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Where a logo is, in its own square [-1, 1] x [-1, 1]: across (n,), down (n,) -> bool (n,)."""
    square = np.maximum(np.abs(across), np.abs(down)) < 1
    distance = np.hypot(across, down)
    if kind == "disc":
        return distance < 0.95
    if kind == "ring":
        return (distance < 1.05) & (distance > 0.55)
    if kind == "square":
        return square
    if kind == "cross":
        return square & (np.minimum(np.abs(across), np.abs(down)) < 0.33)
    if kind == "triangle":
        return square & (np.abs(across) < (down + 1) / 2)
    if kind == "bars":
        return square & (np.abs(down) > 0.36)
    if kind == "diamond":
        return np.abs(across) + np.abs(down) < 1.1
    return np.zeros(across.shape, bool)


def top_paint(person: Person) -> Paint:
    """Skin of the torso: cloth, pattern, logo on the front, belt, and straps of the bag."""
    clothes = person.clothes

    def paint(azimuth: np.ndarray, along: np.ndarray) -> np.ndarray:
        colors = _fill(azimuth, clothes.top)
        mask = pattern_mask(
            clothes.pattern, azimuth, along, person.pattern_period, person.pattern_phase
        )
        _put(colors, mask, clothes.accent)
        # Folds: without any relief a plain top is a flat patch that no camera ever saw.
        colors *= 1 + 0.05 * np.sin(9 * azimuth + 7 * along)
        if person.logo != "none":
            across = azimuth * _ARC / _LOGO_SIZE
            down = (along - person.logo_height) / _LOGO_SIZE
            # The azimuth bound keeps it off the back whatever the size.
            front = np.abs(azimuth) < np.pi / 2
            _put(colors, logo_mask(person.logo, across, down) & front, person.logo_color)
        if person.belt:
            _put(colors, along > 0.9, person.shoes)
        if person.bag == "backpack":
            strap = (np.abs(np.abs(azimuth) - 0.75) < 0.14) & (along < 0.6)
            _put(colors, strap, person.bag_color)
        if person.bag == "satchel":
            slope = np.where(
                np.abs(azimuth) < np.pi / 2, azimuth, np.sign(azimuth) * np.pi - azimuth
            )
            _put(colors, np.abs(along - 0.45 - 0.42 * slope) < 0.06, person.bag_color)
        return colors

    return paint


def leg_paint(person: Person, side: int, lower: bool, cloth_until: float) -> Paint:
    """Skin of half a leg.

    Args:
        person: whose leg.
        side: 1 or -1, the leg's side; its outside is at azimuth side * pi / 2.
        lower: the shin, else the thigh.
        cloth_until: where the cloth ends along this half, 0 bare to 1 covered.
    """
    cloth = person.clothes.bottom

    def paint(azimuth: np.ndarray, along: np.ndarray) -> np.ndarray:
        colors = _fill(azimuth, cloth)
        if person.leg_mark == "side stripe":
            _put(colors, np.abs(azimuth - side * np.pi / 2) < 0.6, person.mark_color)
        if person.leg_mark == "faded":
            # As jeans fade: a pale stripe down the front.
            front = np.abs(azimuth) < 0.7
            colors[:, front] = 0.5 * colors[:, front] + 0.4
        if person.leg_mark == "knee patches":
            near_knee = along < 0.3 if lower else along > 0.7
            _put(colors, near_knee & (np.abs(azimuth) < 1.2), person.mark_color)
        if person.leg_mark == "cuffs" and cloth_until > 0:
            band = (along > cloth_until - 0.35) if lower or cloth_until < 1 else along > 2
            _put(colors, band, person.mark_color)
        _put(colors, along > cloth_until, person.skin)
        return colors

    return paint


def head_paint(person: Person) -> Paint:
    """Skin of the head: face in front, hair or hat above and behind."""
    style = person.hair_style

    def paint(azimuth: np.ndarray, along: np.ndarray) -> np.ndarray:
        colors = _fill(azimuth, person.skin)
        turned = np.abs(azimuth)
        for eye in (-0.42, 0.42):
            _put(
                colors,
                (np.abs(azimuth - eye) < 0.17) & (np.abs(along - 0.42) < 0.07),
                (0.08, 0.08, 0.08),
            )
        colors[:, (turned < 0.25) & (np.abs(along - 0.82) < 0.05)] *= 0.6
        if style == "hood":
            _put(colors, (turned > 0.85) | (along < 0.12), person.clothes.top)
        elif style == "cap":
            _put(colors, (turned > 1.3) & (along < 0.75), person.hair)
            _put(colors, along < 0.3, person.cap)
        elif style == "bald":
            _put(colors, (turned > 1.5) & (along > 0.4), person.hair)
        elif style == "long":
            _put(colors, (turned > 1.0) | (along < 0.15), person.hair)
        else:
            _put(colors, (along < 0.18) | ((turned > 1.25) & (along < 0.8)), person.hair)
        return colors

    return paint


def two_tone(color: Color, pocket: float) -> Paint:
    """Skin of a bag: a darker pocket from `pocket` (0 top, 1 bottom) on."""

    def paint(azimuth: np.ndarray, along: np.ndarray) -> np.ndarray:
        colors = _fill(azimuth, color)
        colors[:, along > pocket] *= 0.72
        return colors

    return paint


def sleeve_paint(person: Person, until: float) -> Paint:
    """Skin of half an arm: sleeve until this position along it (0 to 1), bare skin below."""

    def paint(azimuth: np.ndarray, along: np.ndarray) -> np.ndarray:
        colors = _fill(azimuth, person.clothes.top)
        _put(colors, along > until, person.skin)
        return colors

    return paint


def _fill(azimuth: np.ndarray, color: Color) -> np.ndarray:
    return np.repeat(np.asarray(color, np.float32)[:, None], azimuth.size, axis=1)


def _put(colors: np.ndarray, where: np.ndarray, color: Color) -> None:
    np.copyto(colors, np.asarray(color, np.float32)[:, None], where=where)
