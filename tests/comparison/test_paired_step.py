"""What a comparison reports is the worst of it."""

from dataclasses import replace

import numpy as np
import pytest

from pmm_jax.comparison.paired_step import (
    EARLY,
    LOSSES,
    PairedStep,
    largest_early_difference,
    other_masks,
)

EQUAL = PairedStep(1, dict.fromkeys(LOSSES, 2.0), dict.fromkeys(LOSSES, 2.0), 0, (1.0, 1.0))


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", LOSSES)
def test_the_difference_is_that_of_the_worst_loss(name: str, sign: int) -> None:
    others = {loss: 2.0 + 0.001 * i for i, loss in enumerate(LOSSES)}
    step = replace(EQUAL, ours=others | {name: 2.0 + sign * 0.5})
    assert step.difference == pytest.approx(0.25)
    assert replace(EQUAL, baseline=EQUAL.baseline | {name: -4.0}).difference == pytest.approx(1.5)


def test_equal_losses_differ_by_nothing_and_nan_is_not_hidden() -> None:
    assert EQUAL.difference == 0
    assert len(LOSSES) == 7
    for name in LOSSES:
        assert np.isnan(replace(EQUAL, ours=EQUAL.ours | {name: np.nan}).difference)


def test_a_loss_that_vanishes_on_both_sides_is_no_difference() -> None:
    vanished = EQUAL.ours | {LOSSES[1]: 0.0}
    assert replace(EQUAL, ours=vanished, baseline=vanished).difference == 0
    assert replace(EQUAL, baseline=vanished).difference > 1e9


def test_masks_of_both_stages_are_counted_once_an_image() -> None:
    ours = [np.ones((4, 1, 3, 2), bool), np.ones((4, 1, 3, 2), bool)]
    theirs = [mask.copy() for mask in ours]
    assert other_masks(ours, theirs) == 0
    theirs[0][2, 0, 1, 1] = False
    assert other_masks(ours, theirs) == 1
    theirs[1][0, 0, 0, 0] = theirs[1][0, 0, 2, 1] = theirs[1][2, 0, 0, 1] = False
    assert other_masks(ours, theirs) == 3
    assert other_masks(theirs[1:], ours[1:]) == 2


def test_the_largest_of_the_first_steps_is_named() -> None:
    differences = [0.1] * (EARLY + 1)
    for place, value in ((0, 0.5), (7, 0.7), (EARLY - 1, 0.9)):
        differences[place] = value
        assert largest_early_difference([{"difference": d} for d in differences]) == value
    differences[EARLY] = 2.0
    assert largest_early_difference([{"difference": d} for d in differences]) == 0.9
    assert largest_early_difference([{"difference": 0.3}]) == 0.3
