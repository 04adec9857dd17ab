"""The whole comparison: train both, or take two trained ones, and evaluate them side by side."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch

from pmm_jax.comparison.memory import peak_memory
from pmm_jax.comparison.page import write_page
from pmm_jax.comparison.pair import Pair, Precision, normalized, torch_weights
from pmm_jax.comparison.pair_checkpoint import PairCheckpoints
from pmm_jax.comparison.paired_step import PairedStep, largest_early_difference
from pmm_jax.config import Config, ModelConfig
from pmm_jax.data.loading import image_reader, ordered_batches, train_batches
from pmm_jax.data.prepare import prepare
from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.data.split import Split, open_split
from pmm_jax.display import Display
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.bootstrap import Interval, paired_bootstrap
from pmm_jax.evaluation.evaluate import evaluate_ranking
from pmm_jax.files import write_atomic
from pmm_jax.inference import check_evaluation, embed_with_weights
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.model.torch_checkpoint import load_state_dict, state_dict
from pmm_jax.model.weights_file import read_file, write_file
from pmm_jax.runtime import on_cpu
from pmm_jax.torch_baseline.embed import embed
from pmm_jax.torch_baseline.model import PMM
from pmm_jax.training.interrupt import stop_on_signal
from pmm_jax.training.setup import training_data
from pmm_jax.workdir.restore import restore_run
from pmm_jax.workdir.run_config import check_resume, register_run, run_lock

SIDES = ("ours", "baseline")
METRICS = ("rank1", "mAP")


def train_pair(
    config: Config, workdir: Path, precision: Precision, display: Display
) -> dict[str, Any]:
    """Train ours and the PyTorch baseline side by side, then evaluate both.

    The same initial weights, batches, augmentation and negatives go to both. Goes on from the last
    pair of checkpoints in `workdir`.

    Returns:
        The comparison, as it stands in comparison.json.
    """
    if config.method.name != "pmm":
        raise UserError(
            f"the baseline is PMM, so method.name must be pmm, not {config.method.name}"
        )
    if config.method.stages != 3:
        raise UserError(f"the baseline has 3 stages; method.stages is {config.method.stages}")
    if config.method.mining != "random":
        raise UserError("the baseline samples its negatives; set method.mining to random")
    _check_network(config.model, "model")
    _check_one_gallery(config)
    if config.method.center_loss:
        raise UserError("the baseline has no center loss; leave out center_loss")
    if config.optim.freeze_steps:
        raise UserError("the baseline trains its trunk from the start; leave out freeze_steps")
    if config.optim.ema_decay:
        raise UserError("the baseline keeps no average of its weights; leave out ema_decay")
    if config.model.compute_dtype != "float32":
        raise UserError(
            "compare has no bfloat16; set model.compute_dtype to float32 (--precision chooses "
            "between float32 and float64)"
        )
    prepare(config.data, display.info, True, config.evaluate.cameras)
    split, sampler = training_data(config)
    check_evaluation(config)
    with run_lock(workdir, display.info):
        register_run(workdir, config, f"compare --precision {precision}", split.fingerprint)
        return _train_both(config, workdir, precision, split, sampler, display)


def _check_network(model: ModelConfig, owner: str) -> None:
    for field in ("pooling", "neck", "ibn_a"):
        value = getattr(model, field)
        if value != getattr(ModelConfig(), field):
            raise UserError(f"the baseline is the paper's network; {owner} has {field} {value}")


def _check_one_gallery(config: Config) -> None:
    if config.evaluate.single_shot:
        raise UserError(
            "compare pairs the queries of one gallery, and single_shot has many; leave it out"
        )


def _train_both(
    config: Config,
    workdir: Path,
    precision: Precision,
    split: Split,
    sampler: IdentitySampler,
    display: Display,
) -> dict[str, Any]:
    """Train from the last pair of checkpoints, or the start; returns as `train_pair` does."""
    per_epoch, num_ids = sampler.steps_per_epoch, len(np.unique(split.identities))
    total = config.train.epochs * per_epoch
    pair = Pair(config, num_ids, per_epoch, precision)
    with PairCheckpoints(workdir, pair) as checkpoints, stop_on_signal() as stopping:
        done = checkpoints.restore()
        read = image_reader(split, config.data)
        batches = train_batches(read, sampler, range(done, total), config.data.num_workers)
        with display.bar("training both", total, done) as bar:
            for step in pair.run(batches, done + 1):
                checkpoints.log(step)
                _check_finite(step)
                at_end = step.number % (per_epoch * config.train.checkpoint_every) == 0
                stop = stopping()
                if at_end or step.number == total or stop:
                    checkpoints.save(step.number)
                if stop:
                    raise Interrupted(step.number, total)
                bar.advance(
                    1,
                    f"loss {step.ours['loss']:.3f} and {step.baseline['loss']:.3f}, "
                    f"{step.seconds[0]:.3f} and {step.seconds[1]:.3f} s",
                )
        steps = checkpoints.steps()
    params, batch_stats = pair.state.params, pair.state.batch_stats
    write_file(workdir / "ours.safetensors", state_dict(params, batch_stats))
    write_file(
        workdir / "baseline.pth.tar",
        {name: value.numpy() for name, value in pair.baseline.state_dict().items()},
    )
    result = _evaluate(config, pair.network, params, batch_stats, pair.baseline, display)
    del pair
    if not on_cpu():
        display.info("PyTorch ran on the CPU and pmm_jax did not: times don't compare")
    display.info("measuring memory, a process each")
    return result | {
        "precision": precision,
        "steps": steps,
        "largest_early_difference": largest_early_difference(steps),
        "seconds_per_step": _seconds(steps),
        "peak_memory_bytes": {
            side: peak_memory(side, workdir, num_ids, precision) for side in SIDES
        },
    }


def _check_finite(step: PairedStep) -> None:
    for side, losses in (("ours", step.ours), ("PyTorch's", step.baseline)):
        if not math.isfinite(losses["loss"]):
            raise UserError(
                f"{side} loss is {losses['loss']} at step {step.number}; lower optim.peak_lr or "
                "lengthen optim.warmup_epochs, in a new --workdir"
            )


def against(config: Config, workdir: Path, checkpoint: Path, display: Display) -> dict[str, Any]:
    """A run of train.py against a PyTorch checkpoint, on the run's query and gallery.

    Returns:
        The comparison, as it stands in comparison.json.
    """
    tensors = read_file(checkpoint, "give --against another file")
    theirs = load_state_dict(str(checkpoint), tensors)
    if theirs.kind != "pmm":
        raise UserError(f"{checkpoint} holds {theirs.kind}; --against takes a PMM checkpoint")
    _check_network(theirs.model, str(checkpoint))
    _check_one_gallery(config)
    prepare(config.data, display.info, True, config.evaluate.cameras)
    check_resume(workdir, config, data=check_evaluation(config).fingerprint)
    _, network, params, batch_stats = restore_run(workdir, config.evaluate.checkpoint, display.info)
    model = PMM(theirs.model, config.method, theirs.num_ids)
    model.load_state_dict(torch_weights(theirs.params, theirs.batch_stats))
    return _evaluate(config, network, params, batch_stats, model, display)


def _evaluate(
    config: Config,
    network: Network,
    params: Tree,
    batch_stats: Tree,
    baseline: PMM,
    display: Display,
) -> dict[str, Any]:
    ours = embed_with_weights(network, config, params, batch_stats, display)
    theirs = (
        replace(images, features=_baseline_features(baseline, config, name, display))
        for images, name in zip(ours, ("query", "gallery"), strict=True)
    )
    return {
        "config": asdict(config),
        "versions": {"jax": jax.__version__, "torch": torch.__version__},
    } | compare_embeddings(config, ours, tuple(theirs))


def compare_embeddings(
    config: Config,
    ours: tuple[Embeddings, ...],
    baseline: tuple[Embeddings, ...],
) -> dict[str, Any]:
    """Metrics of both sides as config.evaluate says, and their differences.

    Args:
        config: says how both are ranked.
        ours: query and gallery.
        baseline: the same images.

    Raises:
        UserError: as `evaluate_ranking`.
    """
    settings = config.evaluate
    figures = {
        side: evaluate_ranking(query, gallery, settings, settings.query_block)
        for side, (query, gallery) in zip(SIDES, (ours, baseline), strict=True)
    }
    values = {
        side: {"rank1": found.hits, "mAP": found.average_precision}
        for side, found in figures.items()
    }
    return {
        "queries": figures["ours"].evaluated,
        **{
            side: {"rank1": found.rank1, "mAP": found.mAP, "cmc": found.cmc.tolist()}
            for side, found in figures.items()
        },
        "difference": {
            metric: interval_json(
                paired_bootstrap(
                    values["ours"][metric], values["baseline"][metric], config.train.seed
                )
            )
            for metric in METRICS
        },
        "per_query": values,
    }


def interval_json(interval: Interval) -> dict[str, float]:
    """Interval as an object of comparison.json."""
    return {"difference": interval.mean, "low": interval.low, "high": interval.high}


def _baseline_features(model: PMM, config: Config, name: str, display: Display) -> np.ndarray:
    split = open_split(config.data, name)
    batches = ordered_batches(split, config.data, config.evaluate.batch_size)
    with display.bar("embedding with PyTorch", len(split)) as bar:

        def counted() -> Iterator[tuple[np.ndarray, int]]:
            for images, count in normalized(batches):
                yield images, count
                bar.advance(count)

        return embed(model, counted(), config.evaluate.flip_average)


def _seconds(steps: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over the steps; the first of each process compiles and is outvoted."""
    ours, baseline = np.median([step["seconds"] for step in steps], axis=0)
    return {"ours": float(ours), "baseline": float(baseline), "ratio": float(ours / baseline)}


def write(result: dict[str, Any], workdir: Path) -> None:
    """comparison.json and comparison.html."""
    _write_json(result, workdir / "comparison.json")
    write_page(result, workdir / "comparison.html")


def _write_json(result: dict[str, Any], path: Path) -> None:
    """comparison.json; the steps stay in steps.jsonl."""
    shown = {k: value for k, value in result.items() if k not in ("steps", "per_query")}
    write_atomic(path, (json.dumps(shown, indent=2) + "\n").encode())
