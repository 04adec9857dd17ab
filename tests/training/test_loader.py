"""Steps get the same batches whether they go out alone or together, from host or device."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from pmm_jax.config import Config
from pmm_jax.data.prepare import prepare
from pmm_jax.display import Display
from pmm_jax.distributed.sharding import data_mesh
from pmm_jax.training import compile_step, loop
from pmm_jax.training.loader import MultiStepBatch, TrainLoader
from pmm_jax.training.schedule import RunSchedule
from pmm_jax.training.setup import training_data
from pmm_jax.workdir.run_log import read_metrics


def loader_of(config: Config) -> tuple[TrainLoader, RunSchedule]:
    prepare(config.data)
    split, sampler = training_data(config)
    loader = TrainLoader(config, split, sampler, data_mesh(sampler.batch_size), Display(quiet=True))
    return loader, RunSchedule(config.train, sampler.steps_per_epoch)


def in_calls_of(tiny: Config, steps: int, cache_gib: float = 4.0) -> Config:
    return replace(
        tiny,
        data=replace(tiny.data, device_cache_gib=cache_gib),
        train=replace(tiny.train, log_every=2, steps_per_call=steps, epochs=1),
    )


def images_and_labels(chunk: MultiStepBatch) -> tuple[np.ndarray, np.ndarray]:
    """Of all steps in a call, one after the other."""
    source, labels, *pixels = (np.asarray(array) for array in chunk.inputs)
    images = pixels[0][source] if pixels else source
    return images.reshape(-1, *images.shape[-3:]), labels.reshape(-1)


@pytest.mark.parametrize("cache_gib", [4.0, 0.0])
def test_a_call_of_two_steps_has_their_batches(tiny: Config, cache_gib: float) -> None:
    one, schedule = loader_of(in_calls_of(tiny, 1))
    two, _ = loader_of(in_calls_of(tiny, 2, cache_gib))
    assert not one.on_device
    assert two.on_device == (cache_gib > 0)
    singles = [images_and_labels(chunk) for chunk in one.batches(schedule, 0)]
    (stacked,) = two.batches(schedule, 0)
    assert stacked.steps == range(1, 3)
    for found, expected in zip(images_and_labels(stacked), zip(*singles, strict=True), strict=True):
        np.testing.assert_array_equal(found, np.concatenate(expected))


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("cache_gib", [4.0, 0.0])
def test_the_examples_are_of_the_inputs_kind(tiny: Config, steps: int, cache_gib: float) -> None:
    loader, schedule = loader_of(in_calls_of(tiny, steps, cache_gib))
    inputs = next(loader.batches(schedule, 0)).inputs
    for array, example in zip(inputs, loader.example(steps), strict=True):
        assert (array.shape, array.dtype) == (example.shape, example.dtype)
        assert array.sharding.is_equivalent_to(example.sharding, array.ndim)


@pytest.mark.parametrize(
    ("backend", "wanted", "log_every", "cache_gib", "length", "on_device"),
    [
        ("cpu", 0, 2, 4.0, 1, False),
        ("cpu", 2, 2, 4.0, 2, True),
        ("gpu", 0, 2, 4.0, 2, True),  # as many as a line is of
        ("gpu", 0, 1, 4.0, 1, True),
        ("gpu", 0, 100, 4.0, 2, True),  # never past an epoch, of 2 steps here
        ("gpu", 1, 2, 4.0, 1, True),
        ("tpu", 0, 2, 0.0, 2, False),
    ],
)
def test_accelerators_get_several_steps_a_call_and_all_images(
    tiny: Config,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    wanted: int,
    log_every: int,
    cache_gib: float,
    length: int,
    on_device: bool,
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    config = in_calls_of(tiny, wanted, cache_gib)
    config = replace(config, train=replace(config.train, log_every=log_every))
    prepare(config.data)
    split, sampler = training_data(config)
    loader = TrainLoader(config, split, sampler, data_mesh(sampler.batch_size), Display(quiet=True))
    assert (loader.length, loader.on_device) == (length, on_device)


def test_after_a_checkpoint_the_loader_goes_on(tiny: Config) -> None:
    loader, schedule = loader_of(replace(tiny, train=replace(tiny.train, log_every=2)))
    whole = [images_and_labels(chunk) for chunk in loader.batches(schedule, 0)]
    rest = [images_and_labels(chunk) for chunk in loader.batches(schedule, 4)]
    assert len(whole) == 6
    for found, expected in zip(rest, whole[4:], strict=True):
        np.testing.assert_array_equal(found[0], expected[0])


def metrics_and_calls_of(config: Config, workdir: Path) -> tuple[dict[str, Any], list[int]]:
    """The first line of a run, and the steps of each call."""
    calls: list[int] = []

    plain = compile_step.compile_step

    def counting(*arguments: Any) -> Any:
        step = plain(*arguments)

        def run(*inputs: Any) -> Any:
            state, metrics = step(*inputs)
            calls.append(np.size(metrics["loss"]))
            return state, metrics

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile_step, "compile_step", counting)
        loop.train(config, workdir)
    return read_metrics(workdir)[0], calls


@pytest.mark.slow
@pytest.mark.parametrize("cache_gib", [4.0, 0.0])
def test_a_run_in_calls_of_two_steps_is_the_same_run(
    tiny: Config, tmp_path: Path, cache_gib: float
) -> None:
    alone, single = metrics_and_calls_of(in_calls_of(tiny, 1), tmp_path / "alone")
    stacked, double = metrics_and_calls_of(in_calls_of(tiny, 2, cache_gib), tmp_path / "together")
    assert (single, double) == ([1, 1], [2])
    assert alone["step"] == stacked["step"] == 2
    # Two programs, which round differently.
    assert stacked["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    assert stacked["cross_entropy3"] == pytest.approx(alone["cross_entropy3"], rel=1e-4)
