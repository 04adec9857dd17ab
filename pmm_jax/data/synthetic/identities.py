"""Who a synthetic person is: an outfit shared with others, and small clues of their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pmm_jax.data.synthetic.settings import SyntheticSettings
from pmm_jax.data.synthetic.streams import Stream, stream
from pmm_jax.data.synthetic.tubes import Color

STRANGERS = 1_000_000
"""Identities from here on are passers-by: drawn, never labeled."""

CLOTH: tuple[Color, ...] = (
    (0.10, 0.10, 0.12),
    (0.86, 0.86, 0.84),
    (0.45, 0.46, 0.48),
    (0.62, 0.14, 0.15),
    (0.16, 0.22, 0.42),
    (0.20, 0.38, 0.28),
    (0.72, 0.62, 0.46),
    (0.40, 0.56, 0.72),
    (0.46, 0.28, 0.46),
)
HAIR: tuple[Color, ...] = (
    (0.07, 0.06, 0.06),
    (0.30, 0.18, 0.10),
    (0.72, 0.55, 0.28),
    (0.55, 0.55, 0.56),
)
SKIN: tuple[Color, ...] = ((0.90, 0.72, 0.60), (0.72, 0.52, 0.38), (0.42, 0.28, 0.20))
VIVID: tuple[Color, ...] = (
    (0.95, 0.95, 0.95),
    (0.78, 0.20, 0.18),
    (0.86, 0.68, 0.22),
    (0.20, 0.45, 0.70),
    (0.27, 0.52, 0.30),
    (0.08, 0.08, 0.10),
)
PATTERNS = ("plain", "plain", "hoops", "stripes", "checks", "dots", "yoke", "halves", "sash")
LOGOS = ("none", "disc", "ring", "square", "cross", "triangle", "bars", "diamond")
HAIR_STYLES = ("short", "long", "bun", "ponytail", "cap", "bald", "hood")
BAGS = ("none", "backpack", "handbag", "satchel")
LEG_MARKS = ("none", "side stripe", "knee patches", "cuffs", "faded")
BOTTOMS = ("trousers", "trousers", "shorts", "skirt")


@dataclass(frozen=True)
class Outfit:
    """Clothes that several people wear exactly alike."""

    top: Color
    accent: Color
    pattern: str
    bottom: Color
    bottom_kind: str
    long_sleeves: bool
    coat: bool


@dataclass(frozen=True)
class Person:
    """All that is drawn of a person and is the same in every image; lengths in body heights."""

    outfit: int
    clothes: Outfit
    pattern_phase: float
    """Shift of the pattern, in periods."""
    pattern_period: float
    """Length of one period, as a fraction of the top's length."""
    logo: str
    logo_color: Color
    logo_height: float
    """Position of the logo down the chest, 0 at the shoulders, 1 at the hips."""
    hair_style: str
    hair: Color
    cap: Color
    skin: Color
    shoes: Color
    boots: bool
    bag: str
    bag_color: Color
    leg_mark: str
    mark_color: Color
    belt: bool
    scarf: bool
    girth: float
    """Width of the body over the usual one."""
    hip: float
    """Height of the hips."""
    head: float
    """Size of the head over the usual one."""


@lru_cache(maxsize=4096)
def outfit(seed: int, index: int) -> Outfit:
    """The outfit with this index."""
    rng = stream(seed, Stream.OUTFIT, index)
    top, accent = rng.choice(len(CLOTH), 2, replace=False)
    return Outfit(
        top=CLOTH[top],
        accent=CLOTH[accent],
        pattern=str(rng.choice(PATTERNS)),
        bottom=CLOTH[rng.integers(len(CLOTH))],
        bottom_kind=str(rng.choice(BOTTOMS)),
        long_sleeves=bool(rng.random() < 0.5),
        coat=bool(rng.random() < 0.25),
    )


@lru_cache(maxsize=4096)
def person(settings: SyntheticSettings, identity: int) -> Person:
    """The person with this identity, a function of (settings.seed, settings.outfits, identity).

    Outfits go round in turn, so each is worn by as many people as any other.
    """
    rng = stream(settings.seed, Stream.PERSON, identity)
    worn = identity % settings.outfits
    clothes = outfit(settings.seed, worn)
    return Person(
        outfit=worn,
        clothes=clothes,
        pattern_phase=float(rng.random()),
        pattern_period=float(rng.choice([0.16, 0.24, 0.34])),
        logo=str(rng.choice(LOGOS)),
        logo_color=_unlike(rng, clothes.top),
        logo_height=float(rng.choice([0.28, 0.5])),
        hair_style=str(rng.choice(HAIR_STYLES)),
        hair=HAIR[rng.choice(len(HAIR), p=(0.4, 0.3, 0.15, 0.15))],
        cap=_pick(rng, VIVID),
        skin=_pick(rng, SKIN),
        shoes=VIVID[rng.choice(len(VIVID), p=(0.3, 0.1, 0.1, 0.1, 0.1, 0.3))],
        boots=bool(rng.random() < 0.3),
        bag=str(rng.choice(BAGS, p=(0.4, 0.2, 0.2, 0.2))),
        bag_color=_pick(rng, CLOTH + VIVID[1:5]),
        leg_mark=str(rng.choice(LEG_MARKS, p=(0.4, 0.15, 0.15, 0.15, 0.15))),
        mark_color=_unlike(rng, clothes.bottom),
        belt=bool(rng.random() < 0.2),
        scarf=bool(rng.random() < 0.2),
        girth=float(rng.uniform(0.82, 1.3)),
        hip=float(rng.uniform(0.44, 0.51)),
        head=float(rng.uniform(0.92, 1.12)),
    )


def _pick(rng: np.random.Generator, palette: tuple[Color, ...]) -> Color:
    return palette[int(rng.integers(len(palette)))]


def _unlike(rng: np.random.Generator, cloth: Color) -> Color:
    """A vivid color that can be seen on the cloth."""
    visible = tuple(c for c in VIVID if float(np.abs(np.subtract(c, cloth)).max()) > 0.35)
    return _pick(rng, visible)
