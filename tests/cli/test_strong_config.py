"""The config with all ingredients, for a few steps at toy size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.cli.config_file import load_config
from pmm_jax.config import Config
from pmm_jax.config_check import check
from pmm_jax.training import loop
from pmm_jax.workdir.run_log import read_metrics


def toy(tiny: Config) -> Config:
    """Its ingredients on the tests' people: two epochs of two steps, three of them frozen."""
    strong = load_config("market1501_strong")
    return replace(
        strong,
        data=replace(tiny.data, crop_padding=strong.data.crop_padding),
        model=replace(
            strong.model,
            weights="scratch",
            stage_sizes=(1, 1, 1, 1),
            width=1 / 8,
            embedding_size=16,
        ),
        method=tiny.method,
        optim=replace(strong.optim, freeze_steps=3, warmup_epochs=1, delay_epochs=1),
        train=replace(tiny.train, epochs=2),
        evaluate=replace(strong.evaluate, batch_size=8),
    )


def test_it_is_a_sound_config(project: Path, tiny: Config) -> None:
    config = check(load_config("market1501_strong"))
    assert config.data.image_size == (384, 128)
    assert config.model.ibn_a
    assert check(toy(tiny)).optim.min_lr == 7e-7
    data = replace(config.data, name="msmt17", root="data/MSMT17_V1")
    assert check(load_config("msmt17_strong")) == replace(config, data=data)


@pytest.mark.slow
def test_it_trains(tiny: Config, tmp_path: Path) -> None:
    """Slow: its step holds the forward pass twice, with the trunk frozen and not."""
    assert 0 < loop.train(toy(tiny), tmp_path).mAP <= 1
    losses = [line["loss"] for line in read_metrics(tmp_path) if "loss" in line]
    assert len(losses) == 4
    assert np.isfinite(losses).all()
