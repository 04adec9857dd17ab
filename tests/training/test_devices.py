"""The number of devices and processes changes a run by rounding alone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.data.augment import augment
from pmm_jax.methods import Target, TrainBatch, create_model
from pmm_jax.methods.pmm import PMM, MixingSample
from pmm_jax.mixing import sample_negatives
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import TrainPass, Tree
from pmm_jax.training.train_step import compute_losses
from tests.training.many_devices import IDENTITIES, batch, config_of

SCRIPT = Path(__file__).with_name("many_devices.py")


def begin(devices: int, **options: Any) -> subprocess.Popen:
    environment = {
        **os.environ,
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), json.dumps(options)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen) -> dict[str, Any]:
    output, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    # Between processes on CPUs, gloo prints lines of its own first.
    printed = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(printed[-1]) if printed else {}


def train_on(devices: int, first: int = 0, last: int = 20, **options: Any) -> dict[str, Any]:
    """The result of one process."""
    return end(begin(devices, first=first, last=last, **options))


def run_processes(processes: int, devices: int, **options: Any) -> dict[str, Any]:
    """The result of several processes with that many devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = [
        begin(
            devices,
            **options,
            launch={"coordinator": address, "processes": processes, "process": i},
        )
        for i in range(processes)
    ]
    results = [end(process) for process in started]  # all have to end well; the first one prints
    return results[0]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """20 steps on one device."""
    return train_on(1)


def assert_same(found: dict[str, Any], expected: dict[str, Any], first: int = 0) -> None:
    np.testing.assert_allclose(found["losses"], expected["losses"][first:], rtol=1e-9)
    assert found["weights"] == pytest.approx(expected["weights"], rel=1e-9)


@pytest.mark.slow
def test_four_devices_are_one(alone: dict[str, Any]) -> None:
    found = train_on(4)
    assert found["devices"] == 4
    assert_same(found, alone)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 8])
def test_two_and_eight_devices_are_one(alone: dict[str, Any], devices: int) -> None:
    assert_same(train_on(devices), alone)


@pytest.fixture(scope="module")
def program() -> dict[str, Any]:
    """A step on eight devices with negatives of the own shard, and what it moves between them."""
    return train_on(8, last=1, negatives="shard", program=True)


def test_negatives_of_the_own_shard_are_of_other_identities(program: dict[str, Any]) -> None:
    """The step's loss is that of negatives which are sampled and checked here, on one device."""
    config, devices = config_of("shard", False), 8
    with jax.enable_x64(True):
        network = create_model(config, IDENTITIES, jnp.float64)
        network = network._replace(compute_dtype=jnp.dtype("float64"))
        images, labels = batch(config, 0)
        augmentation, *stages = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 3)
        negatives = [sample_negatives(key, jnp.asarray(labels), devices) for key in stages]
        for sampled in map(np.asarray, negatives):
            assert (labels[sampled] != labels).all()
            assert (sampled // 4 == np.arange(32) // 4).all()
        pixels = augment(augmentation, jnp.asarray(images), config.data)
        sample = MixingSample((negatives[0], negatives[1]))

        @jax.jit
        def loss(params: Tree, stats: Tree) -> jax.Array:
            net = TrainPass(network, {"params": params, "batch_stats": stats})
            sampled = TrainBatch(pixels, jnp.asarray(labels), sample)
            outputs = PMM(config).forward(net, sampled)
            triplets, entropies = compute_losses(outputs, Target(jnp.asarray(labels)), 0.1)
            return sum(triplets[1:], triplets[0]) + sum(entropies[1:], entropies[0])

        expected = float(loss(*init_params(network, 0)))
    # Augmented images are float32; other negatives move the loss by far more.
    assert program["losses"] == [pytest.approx(expected, rel=1e-6)]


def maps(shapes: list[list[int]]) -> list[list[int]]:
    """Those of a feature map, whole or in part, which is 6 x 2 here."""
    return [s for s in shapes if any(s[i : i + 2] == [6, 2] for i in range(len(s)))]


def test_no_feature_map_crosses_devices(program: dict[str, Any]) -> None:
    assert not maps(program["shapes"])


@pytest.mark.slow
def test_negatives_of_the_whole_batch_do_cross() -> None:
    assert maps(train_on(8, last=0, negatives="batch", program=True)["shapes"])


def test_what_crosses_is_gradients_statistics_and_embeddings(program: dict[str, Any]) -> None:
    bytes_each = 8
    batch, embedding = 32, 16
    # Forward each channel's mean and mean square (as many numbers as the running statistics
    # hold), backward two sums; three stages' embeddings, and what comes back to them.
    needed = program["parameters"] + 2 * program["statistics"] + 2 * 3 * batch * embedding
    assert program["bytes"] < 1.1 * bytes_each * needed
    assert program["bytes"] > 0.9 * bytes_each * needed


@pytest.mark.slow
def test_moments_spread_over_devices_are_the_same_adam(alone: dict[str, Any]) -> None:
    found = train_on(4, spread=True)
    assert found["moments_held"] < 0.3
    assert alone["moments_held"] == 1
    assert_same(found, alone)


@pytest.mark.slow
def test_negatives_of_the_own_shard_give_other_losses(alone: dict[str, Any]) -> None:
    found = train_on(4, last=3, negatives="shard")
    assert not np.allclose(found["losses"], alone["losses"][:3], rtol=1e-9)


@pytest.mark.slow
def test_two_processes_go_on_as_one_and_as_four_devices(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    first = run_processes(2, 2, first=0, last=10, save=str(tmp_path), spread=True)
    assert (first["processes"], first["devices"]) == (2, 4)
    np.testing.assert_allclose(first["losses"], alone["losses"][:10], rtol=1e-9)
    for devices in (1, 4):
        found = train_on(devices, first=10, restore=str(tmp_path))
        assert_same(found, alone, first=10)
