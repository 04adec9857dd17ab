"""Steps until two trainings from the same weights, on the same batches, diverge.

    python -m benchmarks.divergence --config FILE [--steps 50] [--seeds 0 ...] [--group.field VALUE]

Ours beside PyTorch, and PyTorch beside itself with its images in channels_last, which is the same
mathematics rounded in another order: once each on its own, once with the first one's blocks given
to the other. PyTorch beside itself says how close ours can come: no program is nearer to PyTorch
than PyTorch is.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import torch

from pmm_jax.cli.parsing import parse_run
from pmm_jax.cli.program import main
from pmm_jax.comparison.pair import Pair, torch_batch
from pmm_jax.comparison.paired_step import PairedStep
from pmm_jax.config import Config
from pmm_jax.data.loading import Batch, ReadImages, image_reader, train_batches
from pmm_jax.data.prepare import prepare
from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.torch_baseline.step import adam, train_step
from pmm_jax.training.optimizer import learning_rate
from pmm_jax.training.setup import training_data


@dataclass(frozen=True)
class Options(Config):
    """What the benchmark takes besides a run's own fields."""

    steps: int = 50
    """Steps of each pair."""
    seeds: tuple[int, ...] = (0,)
    """Each its own initial weights, batches and negatives, and a row of its own."""


class TorchPair:
    """PyTorch's step beside the same in channels_last."""

    def __init__(self, config: Config, num_ids: int, per_epoch: int, reuse_masks: bool) -> None:
        self._reuse_masks = reuse_masks
        self._schedule = learning_rate(config.optim, config.train.epochs, per_epoch)
        self._pair = Pair(config, num_ids, per_epoch, "float32")
        one = self._pair.baseline
        self._formats = torch.contiguous_format, torch.channels_last
        other = copy.deepcopy(one)
        for kernel in (p for p in other.parameters() if p.ndim == 4):
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
        self._models = one, other
        self._optimizers = [adam(model, config.optim) for model in self._models]

    def run(self, batches: Iterator[Batch]) -> Iterator[PairedStep]:
        """Train both on each batch, in turn; times are left 0."""
        for step, (pixels, classes) in enumerate(batches):
            batch = self._pair.sample(jnp.int32(step), pixels, classes)
            images, labels, negatives = torch_batch(batch)
            rate = float(self._schedule(np.int32(step)))
            results, masks = [], None
            for model, optimizer, layout in zip(
                self._models, self._optimizers, self._formats, strict=True
            ):
                ready = images.contiguous(memory_format=layout)
                results.append(train_step(model, optimizer, rate, ready, labels, negatives, masks))
                masks = results[0][1] if self._reuse_masks else None
            (one, masks_of_one), (other, masks_of_other) = results
            differ = torch.cat(masks_of_one) != torch.cat(masks_of_other)
            yield PairedStep(step + 1, other, one, int(differ.flatten(1).any(1).sum()), (0, 0))


def describe(name: str, steps: Iterator[PairedStep]) -> None:
    """A line once all steps are done."""
    blocks, loss = None, None
    largest = largest_sum = 0.0
    for step in steps:
        if step.other_blocks and blocks is None:
            blocks = step.number
        if step.difference > 1e-3 and loss is None:
            loss = step.number
        largest = max(largest, step.difference)
        largest_sum = max(largest_sum, abs(step.ours["loss"] / step.baseline["loss"] - 1))
        if sys.stderr.isatty():
            print(f"\r{name}, step {step.number}", end="\r", file=sys.stderr)
    first = "".join(f"{number or 'none':>14}" for number in (blocks, loss))
    print(f"{name:<44}{first}{largest:>14.0e}{largest_sum:>14.0e}", flush=True)


def divergence_command(arguments: Sequence[str]) -> None:
    """Parse, train, print."""
    config, options = parse_run(arguments, Options, "Count the steps until two trainings diverge.")
    if config.model.compute_dtype != "float32":
        config = replace(config, model=replace(config.model, compute_dtype="float32"))
    prepare(config.data, same_camera_rule=config.evaluate.cameras)
    print(f"{'':<44}{'first step with other':>28}{'largest difference':>28}")
    print(
        f"{'':<44}{'blocks':>14}{'loss (1e-3)':>14}{'of a loss':>14}{'of the sum':>14}", flush=True
    )
    for seed in options.seeds:
        seeded = replace(config, train=replace(config.train, seed=seed))
        split, sampler = training_data(seeded)
        read, num_ids = image_reader(split, seeded.data), len(np.unique(split.identities))

        def batches(sampler: IdentitySampler = sampler, read: ReadImages = read) -> Iterator[Batch]:
            return train_batches(read, sampler, range(options.steps), config.data.num_workers)

        size = num_ids, sampler.steps_per_epoch
        for reuse_masks in (False, True):
            note = f", seed {seed}{', same blocks' if reuse_masks else ''}"
            ours = Pair(seeded, *size, "float32", reuse_masks=reuse_masks)
            describe(f"pmm_jax, PyTorch{note}", ours.run(batches()))
            theirs = TorchPair(seeded, *size, reuse_masks)
            describe(f"PyTorch, channels_last{note}", theirs.run(batches()))


if __name__ == "__main__":
    main(divergence_command)
