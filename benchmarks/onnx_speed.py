"""Seconds of our ONNX graph and of `torch.onnx`'s export of the PyTorch twin, in onnxruntime.

    python -m benchmarks.onnx_speed [--config FILE --group.field VALUE ...] [--json]

Without --config it is the paper's network on 384x128, with random weights. Both graphs are in one
process and take the same normalized images, and their outputs are compared first. On one thread and
on all cores, for each batch, they take turns; the table has medians, and our median by
torch.onnx's. It needs the extras `export` and `torch`.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pmm_jax.cli.parsing import parse_run
from pmm_jax.cli.program import main
from pmm_jax.config import Config
from pmm_jax.errors import UserError, missing_extra
from pmm_jax.export.onnx_check import relative_differences
from pmm_jax.export.onnx_graph import OPSET, chosen_heads, make_onnx
from pmm_jax.export.presets import PRESETS
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Tree

OURS, TORCH = "pmm export", "torch.onnx"
TOLERANCE = 1e-5
"""Relative difference of the two outputs."""


@dataclass(frozen=True)
class Options(Config):
    """What the benchmark takes besides a run's own fields."""

    batches: tuple[int, ...] = (1, 8)
    """Images of a batch."""
    rounds: int = 15
    """Timed turns of each graph."""
    warm_up: int = 3
    """Turns before."""
    identities: int = 751
    """Training identities; no graph has their classifiers."""
    json: bool = False
    """Print one JSON object instead of the table."""


def graphs(config: Config, identities: int) -> dict[str, bytes]:
    """Both ONNX files, of the same random weights.

    Raises:
        UserError: the method isn't PMM, which is all that the twin knows, or an extra is missing.
    """
    if config.method.name != "pmm":
        raise UserError("the PyTorch twin is PMM; give --method.name pmm")
    network = create_model(config, identities, np.dtype(np.float32))
    params, batch_stats = init_params(network, config.train.seed)
    # Fresh statistics, zeros and ones, would leave normalization nothing to do.
    rng = np.random.default_rng(config.train.seed)

    def vary(path: tuple[Any, ...], value: np.ndarray) -> np.ndarray:
        is_mean = path[-1].key == "mean"
        found = rng.normal(0, 0.2, value.shape) if is_mean else rng.uniform(0.5, 1.5, value.shape)
        return found.astype(np.float32)

    batch_stats = jax.tree.map_with_path(vary, batch_stats)
    ours = make_onnx(
        network,
        params,
        batch_stats,
        config.data.image_size,
        PRESETS["boxmot"],
        chosen_heads(network, 0),
    )
    theirs = _torch_export(config, identities, params, batch_stats)
    return {OURS: ours.SerializeToString(), TORCH: theirs}


def _torch_export(config: Config, identities: int, params: Tree, batch_stats: Tree) -> bytes:
    """The PyTorch twin's file, as most exported re-ID models are made: traced, a free batch."""
    try:
        import torch
    except ImportError:
        raise missing_extra("the PyTorch twin", "torch") from None

    from pmm_jax.comparison.pair import torch_weights
    from pmm_jax.torch_baseline.model import PMM

    twin = PMM(config.model, config.method, identities).eval()
    twin.load_state_dict(torch_weights(params, batch_stats))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the newer exporter, which needs another package
        path = Path(folder, "twin.onnx")
        torch.onnx.export(
            twin,
            (torch.zeros(2, 3, *config.data.image_size),),
            path,
            input_names=["images"],
            output_names=["output0"],
            opset_version=OPSET,
            dynamic_axes={"images": {0: "batch"}, "output0": {0: "batch"}},
            dynamo=False,
        )
        return path.read_bytes()


def measure(config: Config, options: Options) -> list[dict[str, Any]]:
    """A row for each number of threads and each batch.

    Returns:
        `threads`, `batch`, `difference` of the outputs (relative, the largest), the median
        `seconds` of a run by graph, and `ratio`, ours by theirs.

    Raises:
        UserError: as of `graphs`, or their outputs differ.
    """
    files = graphs(config, options.identities)
    rows: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    for threads in sorted({1, os.cpu_count() or 1}):
        sessions = {name: _session(data, threads) for name, data in files.items()}
        for batch in options.batches:
            images = rng.normal(size=(batch, 3, *config.data.image_size)).astype(np.float32)
            difference = _difference(sessions, images)
            seconds = _in_turns(sessions, images, options)
            rows.append(
                {
                    "threads": threads,
                    "batch": batch,
                    "difference": difference,
                    "seconds": seconds,
                    "ratio": seconds[OURS] / seconds[TORCH],
                }
            )
    return rows


def _session(data: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Otherwise one graph's threads wait busily through the other's turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _difference(sessions: dict[str, Any], images: np.ndarray) -> float:
    """Largest relative difference of the two outputs, which have to be equal."""
    found, expected = (x.run(None, {"images": images})[0] for x in sessions.values())
    if not expected.any(axis=1).all():
        raise UserError("an embedding is zero, which any graph could give; choose another seed")
    difference = float(relative_differences(found, expected).max())
    if not difference < TOLERANCE:
        raise UserError(f"the two graphs' outputs differ by {difference:.1e}: nothing to compare")
    return difference


def _in_turns(sessions: dict[str, Any], images: np.ndarray, options: Options) -> dict[str, float]:
    """Median seconds of a run of each; who begins changes with every round."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(options.warm_up + options.rounds):
        for name in list(sessions)[:: 1 if turn % 2 else -1]:
            started = time.perf_counter()
            sessions[name].run(None, {"images": images})
            seconds[name].append(time.perf_counter() - started)
    return {name: float(np.median(some[options.warm_up :])) for name, some in seconds.items()}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The results as lines of text."""
    lines = [f"{'threads':>7}{'batch':>7}{OURS:>13}{TORCH:>13}{'ratio':>8}{'difference':>12}"]
    for row in rows:
        ours, theirs = row["seconds"].values()
        lines.append(
            f"{row['threads']:>7}{row['batch']:>7}{ours:>12.4f}s{theirs:>12.4f}s"
            f"{row['ratio']:>8.3f}{row['difference']:>12.1e}"
        )
    return "\n".join(lines)


def speed_command(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    words = list(arguments)
    if not any(word.split("=")[0] in ("--config", "--help", "-h") for word in words):
        words = ["--config", "market1501", *words]
    config, options = parse_run(words, Options, "Time our ONNX graph against torch.onnx's.")
    rows = measure(config, options)
    print(json.dumps(rows) if options.json else table(rows))


if __name__ == "__main__":
    main(speed_command)
