"""How a person stands, and where that puts the parts of the body on the canvas."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, hypot, sin

from pmm_jax.data.synthetic.tubes import Paint, Tube

_PITCH = 0.16
"""Tangent of the camera's downward tilt: what is nearer appears lower, so feet show from ahead."""


@dataclass(frozen=True)
class Pose:
    """How and where a person stands on the canvas."""

    yaw: float
    """Radians; 0 faces the camera, pi shows the back."""
    stride: float
    """Phase of the walk, radians."""
    gait: float
    """Largest angle of the thigh from upright, radians."""
    raised_arm: bool
    """One hand at the face, as on the phone."""
    foot_x: float
    """Horizontal position of the body, canvas pixels."""
    foot_y: float
    """Vertical position of the soles, canvas pixels, down."""
    height: float
    """Body height, canvas pixels."""


Joint = tuple[float, float, float]
"""Right, up, forward in the body's frame, in body heights."""


def body_tube(  # noqa: PLR0913
    pose: Pose,
    start: Joint,
    end: Joint,
    profile: tuple[float, ...],
    paint: Paint,
    flatness: float = 1.0,
    cap: float = 1.0,
    bias: float = 0.0,
) -> Tube:
    """A body part on the canvas; profile is half its width, flatness its depth over its width."""
    (x0, y0, near0), (x1, y1, near1) = _project(pose, start), _project(pose, end)
    scale = pose.height * hypot(cos(pose.yaw), flatness * sin(pose.yaw))
    return Tube(
        depth=(near0 + near1) / 2 + bias,
        start=(x0, y0),
        end=(x1, y1),
        profile=tuple(width * scale for width in profile),
        paint=paint,
        yaw=pose.yaw,
        cap=cap,
    )


def _project(pose: Pose, joint: Joint) -> tuple[float, float, float]:
    right, up, forward = joint
    near = forward * cos(pose.yaw) - right * sin(pose.yaw)
    x = pose.foot_x + pose.height * (right * cos(pose.yaw) + forward * sin(pose.yaw))
    y = pose.foot_y - pose.height * (up - _PITCH * near)
    return x, y, near
