"""The comparison with a golden file: what it accepts, and what it can't miss."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from pmm_jax.comparison import parity
from pmm_jax.comparison.golden import read_golden
from pmm_jax.comparison.parity import GRADIENT_TOLERANCE, TOLERANCE, Quantity, print_parity
from tests.comparison.test_golden import FILE

# Any parameter, by our name and by the release's.
WEIGHT, NAME = ("trunk", "bn1", "scale"), "backbone.1.weight"


def tree(path: tuple[str, ...], value: np.ndarray) -> dict:
    return unflatten_dict({path: value})


def gradient_reference(value: np.ndarray, name: str = NAME) -> dict[str, np.ndarray]:
    norm, total = np.linalg.norm(value), value.sum()
    return {
        "grad_names": np.array([name]),
        "grad_norm": np.array([norm]),
        "grad_sum": np.array([total]),
    }


def beyond(found: list[Quantity]) -> list[str]:
    return [one.name for one in found if not one.agrees]


VALUE = np.array([1.0, -2.0, 3.0])


def test_the_same_gradient_agrees() -> None:
    found = list(parity._gradients(tree(WEIGHT, VALUE), gradient_reference(VALUE)))
    assert len(found) == 4
    assert not beyond(found)


def test_a_longer_gradient_is_beyond() -> None:
    longer = VALUE * (1 + 2 * GRADIENT_TOLERANCE)
    found = list(parity._gradients(tree(WEIGHT, longer), gradient_reference(VALUE)))
    assert beyond(found) == ["gradient norms"]


def test_a_gradient_of_another_sign_is_beyond_by_its_sum() -> None:
    found = list(parity._gradients(tree(WEIGHT, -VALUE), gradient_reference(VALUE)))
    assert beyond(found) == ["gradient sums (of sqrt(size) x norm)"]


def test_nan_is_beyond() -> None:
    found = list(parity._gradients(tree(WEIGHT, VALUE * np.nan), gradient_reference(VALUE)))
    assert "gradient norms" in beyond(found)
    assert not Quantity("", float("nan"), 1.0).agrees


def test_a_zero_gradient_is_held_to_zero() -> None:
    zero = gradient_reference(VALUE * 0)
    assert not beyond(list(parity._gradients(tree(WEIGHT, VALUE * 0), zero)))
    found = list(parity._gradients(tree(WEIGHT, VALUE * 1e-9), zero))
    assert beyond(found) == ["gradients that are zero (norm)"]


def test_a_name_on_one_side_only_is_beyond_and_no_crash() -> None:
    reference = gradient_reference(VALUE, "no.such.weight")
    found = list(parity._gradients(tree(WEIGHT, VALUE), reference))
    assert beyond(found) == ["gradients: names on one side only"]


def test_replaced_blocks_are_told_by_the_mixed_map() -> None:
    keep, mixed = jnp.ones((1, 2, 2), bool), jnp.arange(4.0).reshape(1, 2, 2)
    reference = {"mask2": np.asarray(keep, float), "mixed2_channel_mean": np.asarray(mixed)}
    other = keep.at[0, 1, 1].set(False)
    same_values = {"mask2": other, "mixed2_channel_mean": mixed}
    assert parity._map("mask2", same_values, reference).agrees
    moved = {"mask2": other, "mixed2_channel_mean": mixed + 1e-3 * ~other}
    assert not parity._map("mask2", moved, reference).agrees


def test_another_shape_is_beyond() -> None:
    assert not parity._relative("cam1", jnp.ones(3), {"cam1": np.ones(4)}).agrees
    assert parity._relative("cam1", jnp.ones(3), {"cam1": np.ones(3) + TOLERANCE / 2}).agrees


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_release_agrees_and_a_wrong_number_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    golden = read_golden(FILE)
    # One array is changed by ten times the tolerance: all others must still agree.
    wrong = dict(golden.arrays)
    wrong["cam2"] = wrong["cam2"] * (1 + 10 * TOLERANCE)
    assert not print_parity(replace(golden, arrays=wrong))
    assert "34 quantities, 1 beyond tolerance: cam2\n" in capsys.readouterr().out
