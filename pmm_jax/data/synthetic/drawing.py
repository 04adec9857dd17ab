"""Draw a person: a body of jointed tubes, dressed, in a pose."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, sin

import numpy as np

from pmm_jax.data.synthetic.identities import Person
from pmm_jax.data.synthetic.pose import Joint, Pose, body_tube
from pmm_jax.data.synthetic.textures import (
    head_paint,
    leg_paint,
    sleeve_paint,
    top_paint,
    two_tone,
)
from pmm_jax.data.synthetic.tubes import Tube, draw_tubes, plain


def draw_person(canvas: np.ndarray, person: Person, pose: Pose) -> None:
    """Draw a person into canvas (3, H, W) float32 in [0, 1], in place, over what is there."""
    parts = (_legs, _torso, _arms, _head, _bag)
    draw_tubes(canvas, [tube for part in parts for tube in part(pose, person)])


def _swing(origin: Joint, angle: float, length: float) -> Joint:
    """Where a limb ends that hangs from origin, swung forward by an angle."""
    return origin[0], origin[1] - length * cos(angle), origin[2] + length * sin(angle)


def _legs(pose: Pose, person: Person) -> Iterator[Tube]:
    kind, g = person.clothes.bottom_kind, person.girth**0.5
    half = (person.hip - 0.035) / 2
    cover = {"trousers": (1.0, 0.95), "shorts": (0.95, 0.0), "skirt": (0.0, 0.0)}[kind]
    if person.boots:
        cover = cover[0], min(cover[1], 0.6)
    for side in (-1, 1):
        angle = side * pose.gait * sin(pose.stride)
        bend = 0.15 + max(0.0, side * pose.gait * cos(pose.stride))
        hip = (side * 0.048 * g, person.hip, 0.0)
        knee = _swing(hip, angle, half)
        ankle = _swing(knee, angle - bend, half)
        # Legs lie behind everything worn above them, whatever the stride.
        bias = -0.6
        thigh = leg_paint(person, side, lower=False, cloth_until=cover[0])
        shin = leg_paint(person, side, lower=True, cloth_until=cover[1])
        yield body_tube(pose, hip, knee, (0.062 * g, 0.056 * g, 0.045 * g), thigh, bias=bias + 0.01)
        yield body_tube(pose, knee, ankle, (0.044 * g, 0.044 * g, 0.032 * g), shin, bias=bias)
        toe = (ankle[0], ankle[1] - 0.018, ankle[2] + 0.085)
        heel = (ankle[0], ankle[1] - 0.014, ankle[2] - 0.012)
        yield body_tube(
            pose, heel, toe, (0.033, 0.032, 0.024), plain(person.shoes), bias=bias - 0.02
        )
        if person.boots:
            shaft = _swing(knee, angle - bend, half * 0.6)
            yield body_tube(
                pose,
                shaft,
                ankle,
                (0.043 * g, 0.036),
                plain(person.shoes),
                cap=0.3,
                bias=bias + 0.02,
            )
    if kind == "skirt":
        hem = person.hip - 0.2
        yield body_tube(
            pose,
            (0, person.hip + 0.04, 0),
            (0, hem, 0),
            (0.085 * g, 0.11 * g, 0.13 * g + 0.02 * pose.gait),
            leg_paint(person, 0, lower=True, cloth_until=2.0),
            flatness=0.8,
            cap=0.15,
            bias=-0.3,
        )


def _torso(pose: Pose, person: Person) -> Iterator[Tube]:
    g, clothes = person.girth, person.clothes
    bottom = person.hip - (0.13 if clothes.coat else 0.01)
    flatness = 0.5 + 0.25 * (g - 0.8)
    profile = (0.096, 0.12, 0.116, 0.108, 0.104, 0.106, 0.112, 0.118 if clothes.coat else 0.108)
    widths = tuple(w * (0.45 + 0.55 * g) for w in profile)
    yield body_tube(
        pose,
        (0, 0.795, 0),
        (0, bottom, 0),
        widths,
        top_paint(person),
        flatness,
        cap=0.28,
        bias=-0.01,
    )
    yield body_tube(
        pose, (0, 0.9, 0.01), (0, 0.81, 0), (0.032, 0.036), plain(person.skin), bias=-0.02
    )
    if person.scarf:
        yield body_tube(
            pose, (0, 0.845, 0), (0, 0.825, 0), (0.062, 0.07), plain(person.cap), 0.85, 0.4, 0.02
        )


def _arms(pose: Pose, person: Person) -> Iterator[Tube]:
    g = person.girth
    shoulder_x = 0.11 * (0.45 + 0.55 * g)
    for side in (-1, 1):
        shoulder = (side * shoulder_x, 0.768, 0.0)
        angle = -side * pose.gait * 0.9 * sin(pose.stride)
        raised = pose.raised_arm and side == 1
        elbow = _swing(shoulder, 0.5 if raised else angle, 0.165)
        elbow = (elbow[0] + side * 0.02, elbow[1], elbow[2])
        hand = _swing(elbow, 2.6 if raised else angle + 0.35, 0.165)
        upper = sleeve_paint(person, 2.0 if person.clothes.long_sleeves else 0.7)
        fore = sleeve_paint(person, 0.88 if person.clothes.long_sleeves else -1.0)
        bias = 0.03 * (1 if raised else 0)
        yield body_tube(pose, shoulder, elbow, (0.038 * g**0.5, 0.033 * g**0.5), upper, bias=bias)
        yield body_tube(pose, elbow, hand, (0.031 * g**0.5, 0.022), fore, bias=bias + 0.005)
        if side == -1 and person.bag == "handbag":
            low = (hand[0], hand[1] - 0.13, hand[2])
            rim = (hand[0], hand[1] - 0.045, hand[2])
            yield body_tube(pose, hand, rim, (0.008, 0.008), plain(person.bag_color), bias=0.04)
            yield body_tube(
                pose,
                rim,
                low,
                (0.05, 0.062, 0.065),
                two_tone(person.bag_color, 0.6),
                1.2,
                0.2,
                0.05,
            )


def _head(pose: Pose, person: Person) -> Iterator[Tube]:
    s, style = person.head, person.hair_style
    yield body_tube(
        pose, (0, 0.955, 0.01), (0, 0.895, 0.01), (0.05 * s, 0.047 * s), head_paint(person), 1.1
    )
    hair = plain(person.hair)
    if style == "long":
        yield body_tube(
            pose, (0, 0.94, -0.04), (0, 0.76, -0.055), (0.05 * s, 0.062 * s), hair, 0.6, 0.4
        )
    if style == "ponytail":
        yield body_tube(pose, (0, 0.945, -0.06), (0, 0.79, -0.085), (0.026, 0.026, 0.012), hair)
    if style == "bun":
        yield body_tube(pose, (0, 0.99, -0.04), (0, 0.985, -0.04), (0.034, 0.034), hair)
    if style == "cap":
        yield body_tube(
            pose, (0, 0.955, 0.05), (0, 0.95, 0.095), (0.036, 0.03), plain(person.cap), cap=0.4
        )


def _bag(pose: Pose, person: Person) -> Iterator[Tube]:
    back = 0.5 * 0.122 * (0.45 + 0.55 * person.girth)
    if person.bag == "backpack":
        paint = two_tone(person.bag_color, 0.55)
        widths = (0.075, 0.085, 0.088, 0.085)
        yield body_tube(
            pose, (0, 0.78, -back - 0.03), (0, 0.58, -back - 0.04), widths, paint, 0.55, 0.35
        )
    if person.bag == "satchel":
        side = 0.1 * (0.45 + 0.55 * person.girth)
        paint = two_tone(person.bag_color, 0.45)
        top, low = (side, person.hip + 0.07, -0.02), (side, person.hip - 0.05, -0.02)
        yield body_tube(pose, top, low, (0.05, 0.055, 0.055), paint, 1.35, 0.15, bias=0.02)
