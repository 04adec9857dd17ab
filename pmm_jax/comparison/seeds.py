"""The comparison over several seeds: a pair each, to count the variance over seeds, too."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.comparison.compare import METRICS, SIDES, interval_json, train_pair, write
from pmm_jax.comparison.pair import Precision
from pmm_jax.config import Config
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation.bootstrap import runs_interval

Trained = Callable[[Config, Path, Precision, Display], dict[str, Any]]


def train_pairs(
    config: Config,
    workdir: Path,
    precision: Precision,
    seeds: Sequence[int],
    display: Display,
    train: Trained = train_pair,
) -> dict[str, Any]:
    """A pair for each seed, in seed-0, seed-1, ... of `workdir`, each with its own page.

    Args:
        config: its seed is left aside.
        workdir: goes on where it stopped, as `train_pair` does.
        precision: of both sides' training.
        seeds: two or more, no two the same.
        display: shows progress.
        train: what makes a pair.

    Returns:
        The comparison: means over the seeds, what each came to under `runs`, and the first seed's
        steps, seconds and memory.
    """
    if len(set(seeds)) < max(2, len(seeds)):
        raise UserError(f"--seeds {' '.join(map(str, seeds))}: give two or more, each once")
    results = []
    for seed in seeds:
        display.info(f"seed {seed}")
        folder = workdir / f"seed-{seed}"
        result = train(
            replace(config, train=replace(config.train, seed=seed)), folder, precision, display
        )
        write(result, folder)
        results.append(result)
    return _combine(results, seeds)


def _combine(results: list[dict[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    combined, difference = dict(results[0]), {}
    for side in SIDES:
        combined[side] = {
            key: np.mean([result[side][key] for result in results], axis=0).tolist()
            for key in results[0][side]
        }
    for metric in METRICS:
        ours, theirs = (
            np.stack([result["per_query"][side][metric] for result in results]) for side in SIDES
        )
        difference[metric] = interval_json(runs_interval(ours, theirs))
    combined["difference"] = difference
    combined["runs"] = [
        {"seed": seed}
        | {side: {metric: result[side][metric] for metric in METRICS} for side in SIDES}
        | {"difference": result["difference"]}
        for seed, result in zip(seeds, results, strict=True)
    ]
    return combined
