"""The least and largest values with which the program still means something."""

from typing import Any

import pytest

from pmm_jax.config import Config
from pmm_jax.fields import walk

RANGES: dict[str, Any] = {n: field.metadata.get("range") for n, field, _ in walk(Config)}

SHARES = (
    "data.train_fraction",
    "data.flip_probability",
    "data.color_jitter",
    "data.erase_probability",
    "method.label_smoothing",
    "method.drop_ratio",
    "evaluate.rerank_lambda",
)
BELOW_1 = ("optim.betas", "optim.ema_decay")
LEAST = {
    "data.image_size": 16,  # a cell of the map
    "data.identities_per_batch": 2,  # a negative
    "data.images_per_identity": 1,
    "data.crop_padding": 0,
    "data.erase_size": 1,
    "data.num_workers": 1,
    "model.stage_sizes": 1,
    "model.embedding_size": 1,
    "method.top_k": 1,
    "method.block": 1,
    "optim.peak_lr": 0,
    "optim.warmup_epochs": 0,
    "optim.warmup_step_epochs": 1,  # a divisor
    "optim.milestones": 1,
    "optim.weight_decay": 0,
    "train.epochs": 1,
    "train.seed": 0,
    "train.log_every": 1,
    "train.steps_per_call": 0,
    "train.evaluate_every": 0,
    "train.checkpoint_every": 1,
    "train.profile_steps": 1,
    "evaluate.single_shot": 0,
    "evaluate.query_expansion_k": 0,
    "evaluate.dba_k": 0,
    "evaluate.qe_alpha": 0,
    "evaluate.k1": 1,
    "evaluate.k2": 1,
    "evaluate.nprobe": 1,
    "evaluate.index_top_n": 1,
    "evaluate.seed": 0,
    "evaluate.batch_size": 1,
    "evaluate.query_block": 1,
}


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_the_least_value(name: str, least: Any) -> None:
    assert RANGES[name][0] == least


@pytest.mark.parametrize("name", SHARES)
def test_shares_are_0_to_1(name: str) -> None:
    assert RANGES[name] == (0, 1)


@pytest.mark.parametrize("name", BELOW_1)
def test_what_is_kept_of_an_average_is_below_1(name: str) -> None:
    least, most = RANGES[name]
    assert least == 0
    assert 0.9999 < most < 1


def test_epsilon_is_above_0() -> None:
    assert RANGES["optim.eps"][0] > 0
