"""The comparison with a golden file: what it accepts, and what it can't miss."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.comparison import parity
from pmm_jax.comparison.golden import NEEDED, STEPS, Golden, read_golden
from pmm_jax.comparison.parity import (
    GRADIENT_TOLERANCE,
    LOSSES,
    MAPS,
    TOLERANCE,
    ZERO_GRADIENT,
    Quantity,
    Step,
    compare,
    print_parity,
)
from tests.comparison.test_golden import FILE

Arrays = dict[str, np.ndarray]

WEIGHTS = ("backbone.0.weight", "softmax1.weight", "global_softmax.bias")
STATISTICS = ("backbone.1.running_mean", "backbone.1.running_var")


def random_array(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def step(number: int) -> Step:
    """Made-up results of a step, none equal to another's; the last gradient is zero."""
    seed = 1000 * number
    maps = {name: random_array((4, 3, 2), seed + i) for i, name in enumerate(MAPS)}
    maps |= {name: maps[name] > 0 for name in ("mask2", "mask3")}
    gradient = {name: random_array((2, 3), seed + 100 + i) for i, name in enumerate(WEIGHTS)}
    gradient[WEIGHTS[-1]] = np.zeros((2, 3))
    state = {n: random_array((2, 3), seed + 200 + i) for i, n in enumerate((*WEIGHTS, *STATISTICS))}
    return Step(1 + np.abs(random_array((len(LOSSES),), seed + 300)), gradient, state, maps)


class MadeUp:
    """In the place of our network."""

    def __init__(self, change: Callable[[int, Step], Step] = lambda number, step: step) -> None:
        self._taken, self._change = 0, change

    def embed(self) -> np.ndarray:
        return random_array((4, 6), 7 + self._taken)

    def step(self, number: int) -> Step:
        assert number == self._taken
        self._taken += 1
        return self._change(number, step(number))


def golden_arrays() -> Arrays:
    """What a golden file would hold of the random results."""
    ref = {
        "eval_embedding": random_array((4, 6), 7),
        "eval_embedding_after": random_array((4, 6), 7 + STEPS),
    }
    first = step(0)
    ref |= first.maps
    steps = {"grad": first.gradient} | {f"step{i}_state": step(i).state for i in range(STEPS)}
    for name, values in steps.items():
        ref[f"{name}_names"] = np.array(list(values))
        ref[f"{name}_norm"] = np.array([np.sqrt((v**2).sum()) for v in values.values()])
        ref[f"{name}_sum"] = np.array([v.sum() for v in values.values()])
    ref["losses"] = np.stack([step(i).losses for i in range(STEPS)])
    return ref


def beyond(ref: Arrays, ours: MadeUp | None = None) -> list[str]:
    found = list(compare(ours or MadeUp(), ref))  # type: ignore[arg-type]
    assert len({one.name for one in found}) == len(found) == 34
    return [one.name for one in found if not one.agrees]


def test_the_same_agrees() -> None:
    assert beyond(golden_arrays()) == []


COMPARED = [n for n in NEEDED[3:] if "partner" not in n and not n.endswith("_names")]


def expected_lines(name: str, row: int) -> list[str]:
    """What must be beyond where that row of that array is another."""
    number = f"step {name[4] if name.startswith('step') else 0}"
    if "_state_" in name:
        number = f"step {int(name[4]) + 1}"
        if row < len(WEIGHTS):
            return [f"{number}: weights, norms"] if name.endswith("norm") else []
        return [f"{number}: statistics, {name.rpartition('_')[2]}s"]
    if name == "losses":
        return [f"step {row + 1}: losses"]
    if name == "grad_norm":
        return ["gradient norms"]
    if name == "grad_sum":
        return ["gradient sums (of sqrt(size) x norm)"]
    return [name]


@pytest.mark.parametrize("name", [name for name in COMPARED if "mask" not in name])
def test_every_value_of_a_golden_file_counts(name: str) -> None:
    """Each row, moved by ten times the tolerance alone, is found, and nothing else is."""
    ref = golden_arrays()
    for row in range(len(ref[name])):
        if name.startswith("grad") and row == len(WEIGHTS) - 1:
            continue  # zero: below
        wrong = ref[name].copy()
        scale = np.abs(wrong).max() if wrong.ndim == 3 or "eval" in name else np.abs(wrong[row])
        if name.endswith("_sum"):
            scale = 10.0  # more than the sum of absolute values of six
        wrong[row] += 10 * (GRADIENT_TOLERANCE if "grad" in name else TOLERANCE) * scale
        found = beyond(ref | {name: wrong})
        # A mask is told by the mixed map, and both masks are as they should be.
        assert found == expected_lines(name, row), row


@pytest.mark.parametrize("stage", [2, 3])
def test_replaced_blocks_are_told_by_the_mixed_map(stage: int) -> None:
    ref, mask, mixed = golden_arrays(), f"mask{stage}", f"mixed{stage}_channel_mean"
    other = ref[mask].copy()
    other[1, 2, 0] ^= True
    assert beyond(ref | {mask: other}) == []  # replaced by equal values
    moved = ref[mixed].copy()
    moved[1, 2, 0] += 1
    assert beyond(ref | {mask: other, mixed: moved}) == [f"{mask} (cells that differ)", mixed]
    elsewhere = ref[mixed].copy()
    elsewhere[0, 0, 0] += 1
    assert beyond(ref | {mask: other, mixed: elsewhere}) == [mixed]


@pytest.mark.parametrize("key", ["grad", "step0_state", "step1_state", "step2_state"])
@pytest.mark.parametrize("ours", [True, False])
def test_a_name_on_one_side_only_is_beyond_and_no_crash(key: str, ours: bool) -> None:
    ref = golden_arrays()
    if ours:
        rest = {f"{key}_{part}": ref[f"{key}_{part}"][1:] for part in ("names", "norm", "sum")}
    else:
        names = ref[f"{key}_names"].copy()
        names[0] = "no.such.weight"
        rest = {f"{key}_names": names}
    found = [one.name for one in compare(MadeUp(), ref | rest) if not one.agrees]  # type: ignore[arg-type]
    what = "gradients" if key == "grad" else f"step {int(key[4]) + 1}: state"
    assert found == [f"{what}: names on one side only"]


def test_a_zero_gradient_is_held_to_zero() -> None:
    def change(number: int, step: Step) -> Step:
        return step._replace(gradient=step.gradient | {WEIGHTS[-1]: np.full((2, 3), ZERO_GRADIENT)})

    assert beyond(golden_arrays(), MadeUp(change)) == ["gradients that are zero (norm)"]


def test_a_gradient_of_another_sign_is_beyond_by_its_sum() -> None:
    def change(number: int, step: Step) -> Step:
        return step._replace(gradient={name: -value for name, value in step.gradient.items()})

    found = beyond(golden_arrays(), MadeUp(change))
    assert found == ["gradient sums (of sqrt(size) x norm)"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_beyond_wherever_it_is(value: float) -> None:
    """One value of ours at a time, of every array of every step."""
    for number in range(STEPS):
        for field in ("losses", "gradient", "state"):

            def change(at: int, step: Step, number: int = number, field: str = field) -> Step:
                if at != number:
                    return step
                if field == "losses":
                    step.losses[3] = value
                else:
                    getattr(step, field)[WEIGHTS[1]][0, 1] = value
                return step

            found = beyond(golden_arrays(), MadeUp(change))
            assert bool(found) == (field != "gradient" or number == 0), (number, field)
    assert not Quantity("", value, 1.0).agrees


def test_a_golden_file_of_zeros_agrees_with_nothing() -> None:
    ref = {n: v if v.dtype.kind == "U" else np.zeros_like(v) for n, v in golden_arrays().items()}
    assert len(beyond(ref)) == 34 - 4 - 2  # names; gradients, of which none is long enough


@pytest.mark.parametrize("wrong", [None, 0, 3])
def test_the_verdict_is_that_of_every_quantity(
    wrong: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [Quantity(f"q{i}", 2.0 if i == wrong else 0.5, 1.0) for i in range(4)]
    monkeypatch.setattr(parity, "Ours", lambda golden: golden)
    monkeypatch.setattr(parity, "compare", lambda ours, ref: iter(found))
    golden = Golden({}, 3, 10, np.zeros(1), np.zeros(16))
    assert print_parity(golden) == (wrong is None)
    said = capsys.readouterr().out
    if wrong is None:
        assert "BEYOND" not in said
        assert said.endswith("4 quantities, all agree\n")
    else:
        assert next(line for line in said.splitlines() if "BEYOND" in line).startswith(f"q{wrong}")
        assert said.endswith(f"4 quantities, 1 beyond tolerance: q{wrong}\n")


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


def test_agreement_means_a_millionth_and_of_gradients_a_hundred_thousandth() -> None:
    """The other tests here go by the constants, whatever they are."""
    assert (TOLERANCE, GRADIENT_TOLERANCE) == (1e-6, 1e-5)
