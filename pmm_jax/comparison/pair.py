"""Our step and the PyTorch baseline's, from the same weights, on the same batches."""

import time
from collections.abc import Iterable, Iterator
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import torch

from pmm_jax.comparison.paired_step import LOSSES, PairedStep, other_masks
from pmm_jax.config import Config
from pmm_jax.data.augment import normalize
from pmm_jax.data.loading import Batch
from pmm_jax.mixing import Draws
from pmm_jax.model.operations import compiler_options
from pmm_jax.model.pmm import Tree, build
from pmm_jax.model.torch_checkpoint import state_dict
from pmm_jax.torch_baseline.model import PMM
from pmm_jax.torch_baseline.step import adam as torch_adam
from pmm_jax.torch_baseline.step import train_step
from pmm_jax.training.loop import start
from pmm_jax.training.optimizer import adam, learning_rate
from pmm_jax.training.state import TrainState
from pmm_jax.training.step import apply_gradient, draw, loss_and_gradient

Precision = Literal["float32", "float64"]


class Pair:
    """Both sides. float64 needs jax's 64-bit types enabled."""

    def __init__(
        self,
        config: Config,
        num_ids: int,
        steps_per_epoch: int,
        precision: Precision,
        share_blocks: bool = False,
    ) -> None:
        """`share_blocks` gives our masks to the baseline: what is left is arithmetic alone."""
        self._share_blocks = share_blocks
        self._schedule = learning_rate(config.optim, config.train.epochs, steps_per_epoch)
        self._transform = adam(config.optim, self._schedule)
        network = build(config, num_ids, jnp.dtype(precision))
        self.network = network._replace(compute_dtype=jnp.dtype(precision))
        self._root = jax.random.key(config.train.seed)

        self.state = jax.device_put(start(self.network, config, self._transform))
        params, stats = self.state.params, self.state.stats
        self.baseline = PMM(config.model, config.method, num_ids).to(getattr(torch, precision))
        self.baseline.load_state_dict(torch_weights(params, stats))
        self.baseline.train()
        self.optimizer = torch_adam(self.baseline, config.optim)

        def step(state: TrainState, images: jax.Array, labels: jax.Array, draws: Draws) -> tuple:
            metrics, gradient, stats, outputs = loss_and_gradient(
                self.network, config, state.params, state.stats, images, labels, draws
            )
            state = apply_gradient(self._transform, state, gradient, stats)
            return state, metrics, outputs.keeps

        self._draw = jax.jit(lambda *batch: draw(config, self._root, *batch))
        self._step = jax.jit(step, donate_argnums=0, compiler_options=compiler_options())

    def run(self, batches: Iterable[Batch], first: int = 1) -> Iterator[PairedStep]:
        """Train both on each batch, in turn.

        Args:
            batches: as `train_batches` makes them.
            first: number of the first one, from 1.
        """
        for number, (pixels, classes) in enumerate(batches, first):
            # Augmentation and negatives are drawn once, here, and given to both.
            images, draws = self._draw(jnp.int32(number - 1), pixels, classes)
            images = images.astype(self.network.compute_dtype)
            jax.block_until_ready((images, draws))
            # Each side finds its inputs ready, and its clock ends when its losses are numbers.
            same = torch_batch(images, classes, draws)
            rate = float(self._schedule(np.int32(number - 1)))

            started = time.perf_counter()
            self.state, metrics, keeps = self._step(self.state, images, classes, draws)
            ours = {name: float(metrics[name]) for name in LOSSES}
            seconds_ours = time.perf_counter() - started

            masks = [np.array(keep)[:, None] for keep in keeps]
            shared = tuple(map(torch.from_numpy, masks)) if self._share_blocks else None
            started = time.perf_counter()
            baseline, own = train_step(self.baseline, self.optimizer, rate, *same, shared)
            seconds = seconds_ours, time.perf_counter() - started
            others = other_masks(masks, [mask.numpy() for mask in own])
            yield PairedStep(number, ours, baseline, others, seconds)


def torch_batch(
    images: jax.Array, classes: np.ndarray, draws: Draws
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """A drawn batch as `train_step` takes it: images (N, 3, H, W), labels, negatives."""
    assert draws.negatives is not None  # PMM's always are
    stage2, stage3 = (torch.from_numpy(np.array(n, np.int64)) for n in draws.negatives)
    channels_first = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous()
    return channels_first, torch.from_numpy(classes.astype(np.int64)), (stage2, stage3)


def torch_weights(params: Tree, stats: Tree) -> dict[str, torch.Tensor]:
    """Our weights as the baseline's state dict, in memory of its own."""
    return {
        name: torch.from_numpy(np.array(value)) for name, value in state_dict(params, stats).items()
    }


def normalised(batches: Iterable[tuple[np.ndarray, int]]) -> Iterator[tuple[np.ndarray, int]]:
    """Batches of uint8 images as the baseline takes them: normalised float32."""
    for images, count in batches:
        yield np.array(normalize(jnp.asarray(images))), count
