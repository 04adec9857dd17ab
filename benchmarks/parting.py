"""How long two trainings of one network, from the same weights on the same batches, stay together.

    python -m benchmarks.parting --config FILE [--steps 50] [--group.field VALUE ...]

Three times: ours beside PyTorch; PyTorch beside itself with its images in channels_last, which is
the same mathematics rounded in another order; and ours beside PyTorch with our blocks given to it.
The second says how close the first can come: no program is nearer to PyTorch than PyTorch is.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import torch

from pmm_jax.cli import main, parse_run
from pmm_jax.comparison.pair import Pair, PairedStep, torch_batch
from pmm_jax.config import Config
from pmm_jax.data.loading import Batch, image_reader, train_batches
from pmm_jax.data.prepare import prepare
from pmm_jax.torch_baseline.step import adam, train_step
from pmm_jax.training.loop import training_data
from pmm_jax.training.optimizer import learning_rate
from pmm_jax.training.step import draw


@dataclass(frozen=True)
class Options(Config):
    """What the benchmark takes besides a run's own fields."""

    steps: int = 50
    """Steps of each pair."""


class TorchPair:
    """PyTorch's step beside the same in channels_last."""

    def __init__(self, config: Config, num_ids: int, per_epoch: int) -> None:
        self._config = config
        self._schedule = learning_rate(config.optim, config.train.epochs, per_epoch)
        one = Pair(config, num_ids, per_epoch, "float32").baseline
        self._formats = torch.contiguous_format, torch.channels_last
        other = copy.deepcopy(one)
        for kernel in (p for p in other.parameters() if p.ndim == 4):
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
        self._models = one, other
        self._optimizers = [adam(model, config.optim) for model in self._models]

    def run(self, batches: Iterator[Batch]) -> Iterator[PairedStep]:
        """Train both on each batch, in turn; times are left 0."""
        root = jax.random.key(self._config.train.seed)
        for step, (pixels, classes) in enumerate(batches):
            drawn, draws = draw(
                self._config, root, jnp.int32(step), jnp.asarray(pixels), jnp.asarray(classes)
            )
            images, labels, negatives = torch_batch(drawn, classes, draws)
            rate = float(self._schedule(np.int32(step)))
            (one, keeps), (other, other_keeps) = (
                train_step(
                    model,
                    optimizer,
                    rate,
                    images.contiguous(memory_format=layout),
                    labels,
                    negatives,
                )
                for model, optimizer, layout in zip(
                    self._models, self._optimizers, self._formats, strict=True
                )
            )
            differ = torch.cat(keeps) != torch.cat(other_keeps)
            yield PairedStep(step + 1, other, one, int(differ.flatten(1).any(1).sum()), (0, 0))


def describe(name: str, steps: Iterator[PairedStep]) -> None:
    """A line once all steps are done."""
    parted, before, largest = None, 0.0, 0.0
    for step in steps:
        if step.other_blocks and parted is None:
            parted = step.number
        largest = max(largest, step.difference)
        if parted is None:
            before = largest
        if sys.stderr.isatty():
            print(f"\r{name}, step {step.number}", end="", file=sys.stderr)
    first = f"step {parted}" if parted else "none"
    print(f"{name:<40}{first:>20}{before:>14.0e}{largest:>14.0e}", flush=True)


def run(arguments: Sequence[str]) -> None:
    """Parse, train, print."""
    config, options = parse_run(arguments, Options, "How long two trainings stay together.")
    if config.model.compute_dtype != "float32":
        config = replace(config, model=replace(config.model, compute_dtype="float32"))
    prepare(config.data, brief=True)
    split, sampler = training_data(config)
    read, num_ids = image_reader(split, config.data), len(np.unique(split.identities))
    per_epoch = sampler.steps_per_epoch

    def batches() -> Iterator[Batch]:
        return train_batches(read, sampler, range(options.steps), config.data.workers)

    print(f"{'':<40}{'first other blocks':>20}{'until then':>14}{'in all steps':>14}", flush=True)
    ours = Pair(config, num_ids, per_epoch, "float32")
    describe("pmm_jax beside PyTorch", ours.run(batches()))
    describe(
        "PyTorch beside PyTorch channels_last", TorchPair(config, num_ids, per_epoch).run(batches())
    )
    shared = Pair(config, num_ids, per_epoch, "float32", share_blocks=True)
    describe("pmm_jax beside PyTorch, our blocks", shared.run(batches()))


if __name__ == "__main__":
    main(run)
