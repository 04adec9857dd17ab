"""The sections of benchmarks.gpu, each run in a process of its own.

Run by benchmarks.gpu: python -m benchmarks.gpu_sections NAME CONFIG, CONFIG as JSON. The last line
on standard output is what was found, as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.config import Config
from pmm_jax.config_check import parse_config
from pmm_jax.runtime import set_up_process

GOLDEN = Path(__file__).parents[1] / "tests/golden/release_p4_c10_s21.npz"
IDENTITIES = 751
MARKET = 3368, 15_913
"""Query and gallery images of Market-1501."""
TOY = 20, 60
STEPS = 10
"""Steps of a call, where it takes several."""
CALLS = 6
"""Timed calls, after one more."""
PROFILED = 3
"""Steps of the profile, after as many more."""
KERNELS = 10
"""Largest kernels that are listed."""


def is_toy(config: Config) -> bool:
    """Whether the network is the small one of --toy."""
    return config.model.width < 1


def test_set(config: Config) -> tuple[int, int]:
    """How many query and gallery images there are."""
    return TOY if is_toy(config) else MARKET


def device(_: Config) -> dict[str, Any]:
    """What it runs on, and the rates of its products."""
    import jax

    from benchmarks.roofline import matmul_rate

    kind = jax.devices()[0]
    return {
        "device": kind.device_kind,
        "platform": kind.platform,
        "count": jax.device_count(),
        "jax": jax.__version__,
        "matmul_flop_per_second": {
            "float32": matmul_rate(),
            "exact float32": matmul_rate(precision="highest"),
            "bfloat16": matmul_rate("bfloat16"),
        },
    }


def parity(_: Config) -> dict[str, Any]:
    """The release's golden file in float64, on this device."""
    import jax

    from pmm_jax.comparison.golden import read_golden
    from pmm_jax.comparison.parity import Ours, compare

    golden, started = read_golden(GOLDEN), time.perf_counter()
    with jax.enable_x64(True):
        found = list(compare(Ours(golden), golden.arrays))
    differing = [one.name for one in found if not one.agrees]
    return {
        "agrees": not differing,
        "quantities": len(found),
        "differing": differing,
        "seconds": time.perf_counter() - started,
    }


def flop(config: Config) -> dict[str, Any]:
    """FLOP of a step, as XLA counts those of the program before it is compiled."""
    from pmm_jax.comparison.one_step import step_program
    from pmm_jax.runtime import override_platform

    with override_platform("gpu"):
        program, state, batch = step_program(config, IDENTITIES)
        costs = program.lower(state, batch).cost_analysis() or {}
    return {"flop": costs["flops"]}


def feeding(config: Config) -> dict[str, Any]:
    """Images a second by steps a call, and by where the training split is."""
    import jax

    from benchmarks.program import host_batch, new_task

    _, task, state = new_task(config, IDENTITIES, 1)
    images, labels = host_batch(config)
    rows = {}
    for is_resident in (False, True):
        for length in (1, 2 if is_toy(config) else STEPS):
            place = "resident" if is_resident else "from the host"
            name = f"{length} step{'s' if length > 1 else ''} a call, {place}"
            host = _inputs(images, labels, length, is_resident)
            state, seconds = _fed(task, state, host, length, images if is_resident else None)
            rows[name] = {
                "images_per_second": length * len(labels) / seconds,
                "seconds_a_step": seconds / length,
            }
    jax.block_until_ready(state)
    return {"rows": rows}


def _inputs(
    images: np.ndarray, labels: np.ndarray, length: int, is_resident: bool
) -> tuple[np.ndarray, np.ndarray]:
    source = np.arange(len(images), dtype=np.int32) if is_resident else images
    if length == 1:
        return source, labels
    return np.stack([source] * length), np.stack([labels] * length)


def _fed(
    task: Any,
    state: Any,
    host: tuple[np.ndarray, np.ndarray],
    length: int,
    pixels: np.ndarray | None,
) -> tuple[Any, float]:
    """The state after some calls, and the mean seconds of one; each sends its inputs."""
    import jax

    from pmm_jax.distributed.sharding import batch_sharding, replicated, shard_pytree, split_batch
    from pmm_jax.training.compile_step import compile_step
    from pmm_jax.training.state import mesh_of

    mesh = mesh_of(state)
    axis, size = int(length > 1), len(host[1].T)
    where = batch_sharding(mesh, axis=axis)
    shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=where) for array in host]
    last = () if pixels is None else (shard_pytree(pixels, replicated(mesh)),)
    step = compile_step(task, state, (*shapes, *last), length)
    started = 0.0
    for call in range(CALLS + 1):
        placed = [split_batch(mesh, array, size, axis=axis) for array in host]
        state, _ = step(state, *placed, *last)
        if call == 0:
            jax.block_until_ready(state)
            started = time.perf_counter()
    jax.block_until_ready(state)
    return state, (time.perf_counter() - started) / CALLS


def embedding(config: Config) -> dict[str, Any]:
    """Query and gallery of Market-1501's size, embedded: decoded images that the host sends."""
    import jax

    from pmm_jax.inference import make_embed, map_batches
    from pmm_jax.methods import create_model
    from pmm_jax.model.initial import init_params

    network, size = create_model(config, IDENTITIES), config.evaluate.batch_size
    params, batch_stats = jax.device_put(init_params(network, 0))
    shape = (size, *config.data.image_size, 3)
    some = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    run = make_embed(network)
    jax.block_until_ready(run(params, batch_stats, jax.numpy.asarray(some)))
    count = sum(test_set(config))

    def batches() -> Iterator[tuple[np.ndarray, int]]:
        for start in range(0, count, size):
            yield some, min(size, count - start)

    started = time.perf_counter()
    features = map_batches(lambda images: run(params, batch_stats, images), batches())
    seconds = time.perf_counter() - started
    return {"images": len(features), "seconds": seconds, "images_per_second": count / seconds}


def ranking(config: Config) -> dict[str, Any]:
    """Evaluation and re-ranking at Market-1501's size, the latter by both forms."""
    from benchmarks.embeddings import random_embeddings
    from pmm_jax.config import RankConfig
    from pmm_jax.evaluation.evaluate import evaluate_ranking
    from pmm_jax.runtime import current_platform, override_platform

    rng = np.random.default_rng(0)
    query, gallery = (random_embeddings(count, 1536, rng) for count in test_set(config))
    own = current_platform()
    jitted = "gpu" if own == "cpu" else own
    runs = {
        "evaluation": (RankConfig(), own),
        "re-ranking, jitted": (RankConfig(rerank=True), jitted),
        "re-ranking, sparse on the host": (RankConfig(rerank=True), "cpu"),
    }
    rows = {}
    for name, (settings, platform) in runs.items():
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            with override_platform(platform):
                metrics = evaluate_ranking(query, gallery, settings)
            seconds.append(time.perf_counter() - started)
        rows[name] = {
            "first_seconds": seconds[0],
            "seconds": seconds[1],
            "rank1": metrics.rank1,
            "mAP": metrics.mAP,
            "mINP": metrics.mINP,
        }
    return {"images": list(test_set(config)), "rows": rows, "peak_memory_bytes": _peak_memory()}


def profile(config: Config) -> dict[str, Any]:
    """The kernels that take most of a step."""
    import jax

    from pmm_jax.comparison.one_step import our_step

    step, _ = our_step(config, IDENTITIES)
    for _ in range(PROFILED):
        step()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with jax.profiler.trace(folder):
            for _ in range(PROFILED):
                step()
        wall = time.perf_counter() - started
        (trace,) = Path(folder).rglob("*.xplane.pb")
        spent, launches = kernel_seconds(jax.profiler.ProfileData.from_file(str(trace)))
    total = sum(spent.values())
    return {
        "steps": PROFILED,
        "wall_seconds": wall,
        "kernel_seconds": total,
        "kernels": [
            {"name": name, "seconds": of_it, "share": of_it / total, "launches": launches[name]}
            for name, of_it in spent.most_common(KERNELS)
        ],
    }


def kernel_seconds(data: Any) -> tuple[Counter[str], Counter[str]]:
    """Seconds and launches of each kernel in a jax.profiler.ProfileData."""
    spent: Counter[str] = Counter()
    launches: Counter[str] = Counter()
    devices = [plane for plane in data.planes if plane.name.startswith("/device:")]
    for plane in devices or data.planes:
        for line in plane.lines:
            # A GPU's streams and a TPU's operations; a CPU has threads, which do other things, too.
            is_kernels = line.name.startswith("Stream") or line.name == "XLA Ops"
            for event in line.events:
                if is_kernels or (not devices and "hlo_op" in dict(event.stats)):
                    spent[event.name] += event.duration_ns * 1e-9
                    launches[event.name] += 1
    return spent, launches


def _peak_memory() -> int:
    import jax

    from pmm_jax.runtime.peak_rss import peak_rss

    on_device = jax.devices()[0].memory_stats()
    return int(on_device["peak_bytes_in_use"]) if on_device else peak_rss()


SECTIONS: dict[str, Callable[[Config], dict[str, Any]]] = {
    function.__name__: function
    for function in (device, parity, flop, feeding, embedding, ranking, profile)
}


if __name__ == "__main__":
    set_up_process()
    print(json.dumps(SECTIONS[sys.argv[1]](parse_config(sys.argv[2]))))
