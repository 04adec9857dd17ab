"""Our step and the PyTorch baseline's, from the same weights, on the same batches."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import torch

from pmm_jax.comparison.paired_step import LOSSES, PairedStep, other_masks
from pmm_jax.config import Config
from pmm_jax.data.augment import normalize
from pmm_jax.data.loading import Batch
from pmm_jax.methods import TrainBatch, create_model
from pmm_jax.model.operations import compiler_options
from pmm_jax.model.pmm import Tree
from pmm_jax.model.torch_checkpoint import state_dict
from pmm_jax.torch_baseline.model import PMM
from pmm_jax.torch_baseline.step import adam as torch_adam
from pmm_jax.torch_baseline.step import train_step
from pmm_jax.training.initial import create_train_state
from pmm_jax.training.optimizer import learning_rate, make_optimizer
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import TrainTask, compute_gradients, sample_batch

Precision = Literal["float32", "float64"]


class Pair:
    """Our model and the PyTorch baseline, trained in turn; float64 needs jax_enable_x64."""

    def __init__(
        self,
        config: Config,
        num_ids: int,
        steps_per_epoch: int,
        precision: Precision,
        reuse_masks: bool = False,
    ) -> None:
        """`reuse_masks` gives our masks to the baseline: what is left is arithmetic alone."""
        self._reuse_masks = reuse_masks
        self._schedule = learning_rate(config.optim, config.train.epochs, steps_per_epoch)
        network = create_model(config, num_ids, jnp.dtype(precision))
        self.network = network._replace(compute_dtype=jnp.dtype(precision))
        seed_key = jax.random.key(config.train.seed)
        task = TrainTask(self.network, config, make_optimizer(config.optim, self._schedule))
        self.state = jax.device_put(create_train_state(task))
        self.baseline = PMM(config.model, config.method, num_ids).to(getattr(torch, precision))
        self.baseline.load_state_dict(torch_weights(self.state.params, self.state.batch_stats))
        self.baseline.train()
        self.optimizer = torch_adam(self.baseline, config.optim)

        def sample(step: jax.Array, images: jax.Array, labels: jax.Array) -> TrainBatch:
            batch = sample_batch(task, jax.random.fold_in(seed_key, step), images, labels)
            return replace(batch, images=batch.images.astype(self.network.compute_dtype))

        def step(state: TrainState, batch: TrainBatch) -> tuple[Any, ...]:
            grads, batch_stats, metrics, outputs, _ = compute_gradients(task, state, batch)
            return state.apply_gradients(task.tx, grads, batch_stats), metrics, outputs.masks

        self.sample = jax.jit(sample)
        self._step = jax.jit(step, donate_argnums=0, compiler_options=compiler_options())

    def run(self, batches: Iterable[Batch], first: int = 1) -> Iterator[PairedStep]:
        """Train both on each batch, in turn.

        Args:
            batches: as `train_batches` makes them.
            first: number of the first one, from 1.
        """
        for number, (pixels, classes) in enumerate(batches, first):
            # Augmentation and negatives are sampled once, here, and given to both.
            batch = jax.block_until_ready(self.sample(jnp.int32(number - 1), pixels, classes))
            # Each side finds its inputs ready, and its clock ends when its losses are numbers.
            same = torch_batch(batch)
            rate = float(self._schedule(np.int32(number - 1)))

            started = time.perf_counter()
            self.state, metrics, masks = self._step(self.state, batch)
            ours = {name: float(metrics[name]) for name in LOSSES}
            seconds_ours = time.perf_counter() - started

            masks = [np.array(mask)[:, None] for mask in masks]
            given = tuple(map(torch.from_numpy, masks)) if self._reuse_masks else None
            started = time.perf_counter()
            baseline, own = train_step(self.baseline, self.optimizer, rate, *same, given)
            seconds = seconds_ours, time.perf_counter() - started
            others = other_masks(masks, [mask.numpy() for mask in own])
            yield PairedStep(number, ours, baseline, others, seconds)


def torch_batch(
    batch: TrainBatch,
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """A batch as the baseline's step takes it: images (N, 3, H, W), labels, negatives."""
    stage2, stage3 = (torch.from_numpy(np.array(n, np.int64)) for n in batch.sample.negatives)
    channels_first = torch.from_numpy(np.array(batch.images)).permute(0, 3, 1, 2).contiguous()
    return channels_first, torch.from_numpy(np.array(batch.labels, np.int64)), (stage2, stage3)


def torch_weights(params: Tree, batch_stats: Tree) -> dict[str, torch.Tensor]:
    """Our weights as the baseline's state dict, in memory of its own."""
    return {
        name: torch.from_numpy(np.array(value))
        for name, value in state_dict(params, batch_stats).items()
    }


def normalized(batches: Iterable[tuple[np.ndarray, int]]) -> Iterator[tuple[np.ndarray, int]]:
    """Batches of uint8 images as the baseline takes them: normalized float32."""
    for images, count in batches:
        yield np.array(normalize(jnp.asarray(images))), count
