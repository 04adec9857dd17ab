"""What a finished run has written, and that evaluating it again gives the same figures."""

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.config import Config
from pmm_jax.data.loading import ordered_batches
from pmm_jax.data.split import open_split
from pmm_jax.display import Display
from pmm_jax.evaluation import RankingMetrics
from pmm_jax.evaluation.evaluate import evaluate_ranking
from pmm_jax.inference import embed_run, make_embed
from pmm_jax.workdir.restore import restore_run
from tests.training.conftest import STEPS, lines

LOSSES = [f"{kind}{stage}" for kind in ("triplet", "cross_entropy") for stage in (1, 2, 3)]
FIGURES = ["rank1", "rank5", "rank10", "mAP", "mINP", "mAP@50"]


def test_a_run_writes_a_line_for_each_step(whole: Path) -> None:
    training = [line for line in lines(whole) if "loss" in line]
    assert [(line["step"], line["epoch"]) for line in training] == [
        (step, (step + 1) // 2) for step in range(1, STEPS + 1)
    ]
    for line in training:
        assert set(line) == {"step", "epoch", "loss", "accuracy", "learning_rate", *LOSSES}
        assert line["loss"] == pytest.approx(sum(line[name] for name in LOSSES))
        assert 0 <= line["accuracy"] <= 1
        # The rate that the step used: a stair an epoch, in the release's tenths of the peak.
        assert line["learning_rate"] == pytest.approx(1e-4 * (line["epoch"] + 1))


def test_a_run_writes_a_line_for_each_evaluation(whole: Path, tiny: Config) -> None:
    testing = [line for line in lines(whole) if "mAP" in line]
    assert [(line["step"], line["epoch"]) for line in testing] == [(4, 2), (6, 3)]
    for line in testing:
        assert set(line) == {"step", "epoch", *FIGURES}
        assert 0 < line["rank1"] <= line["rank5"] <= line["rank10"] <= 1
        assert 0 < line["mINP"] <= line["mAP"] <= 1
    written = json.loads((whole / "config.json").read_text())
    for group, fields in json.loads(json.dumps(asdict(tiny))).items():
        assert written[group] == fields


def test_tensorboard_shows_what_the_lines_say(whole: Path) -> None:
    shown = {
        (event.step, value.tag): value.simple_value
        for file in whole.glob("events.out.tfevents*")
        for event in events(file)
        for value in event.summary.value
    }
    for line in lines(whole):
        group = "train" if "loss" in line else "test"
        for name in set(line) - {"step", "epoch"}:
            tag = f"{group}/{name.replace('@', '_')}"  # as TensorBoard has it
            assert shown.pop((line["step"], tag)) == np.float32(line[name])
    assert set(shown) == {
        (step, f"speed/{name}")
        for step in range(1, STEPS + 1)
        for name in ("images_per_second", "data_wait")
    }


def events(file: Path) -> Iterator[Any]:
    """The records of a TensorBoard file: a length, its checksum, an event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, at = file.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield Event.FromString(content[at + 12 : at + 12 + length])
        at += 12 + length + 4


def evaluate_run(config: Config, workdir: Path) -> RankingMetrics:
    sets = embed_run(config, workdir, Display())
    return evaluate_ranking(*sets, config.evaluate)


@pytest.mark.parametrize("which", ["latest", "best"])
def test_evaluating_the_run_repeats_its_numbers(whole: Path, tiny: Config, which: Any) -> None:
    config = replace(tiny, evaluate=replace(tiny.evaluate, checkpoint=which))
    found = evaluate_run(config, whole)
    testing = [line for line in lines(whole) if "mAP" in line]
    logged = testing[-1] if which == "latest" else max(testing, key=lambda line: line["mAP"])
    assert found.mAP == pytest.approx(logged["mAP"], abs=1e-6)
    assert found.rank1 == pytest.approx(logged["rank1"], abs=1e-6)


@pytest.mark.slow
def test_an_evaluation_may_average_with_mirror_images(whole: Path, tiny: Config) -> None:
    config = replace(tiny, evaluate=replace(tiny.evaluate, flip_average=True))
    _, network, params, stats = restore_run(whole, "latest")
    embed = make_embed(network)
    for found, name in zip(embed_run(config, whole, Display()), ("query", "gallery"), strict=True):
        split = open_split(tiny.data, name)
        plain, mirrored = (
            np.concatenate(
                [
                    np.asarray(embed(params, stats, jnp.asarray(images[:, :, ::step])))[:count]
                    for images, count in ordered_batches(split, tiny.data, 8)
                ]
            )
            for step in (1, -1)
        )
        np.testing.assert_allclose(found.features, (plain + mirrored) / 2, rtol=1e-4, atol=1e-6)
        assert np.abs(plain - mirrored).max() > 1e-3
