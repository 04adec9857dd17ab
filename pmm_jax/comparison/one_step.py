"""One training step of each side on random inputs, to measure time and memory.

Neither side augments or samples negatives: both get the same arrays. Each function imports its own
framework alone, so that a process which measures one side holds no other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from pmm_jax.config import Config

if TYPE_CHECKING:
    from jax.stages import Compiled, Wrapped

    from pmm_jax.methods import TrainBatch
    from pmm_jax.training.state import TrainState

RATE = 1e-4
"""The learning rate, which changes neither time nor memory."""


class Batch(NamedTuple):
    """Random inputs, the same for every side."""

    images: np.ndarray
    """(N, H, W, 3) float32, standard normal."""
    labels: np.ndarray
    """(N,) int64."""
    negatives: np.ndarray
    """(N,) int64."""


def batch_of(config: Config) -> Batch:
    """Inputs of the config's sizes."""
    rng = np.random.default_rng(0)
    identities, each = config.data.identities_per_batch, config.data.images_per_identity
    labels = np.repeat(np.arange(identities), each)
    images = rng.standard_normal((len(labels), *config.data.image_size, 3), np.float32)
    return Batch(images, labels, np.roll(np.arange(len(labels)), each))


class StepProgram(NamedTuple):
    """The training step before compilation, and what it takes."""

    step: Wrapped
    """(state, batch) to (state, metrics); the state is donated."""
    state: TrainState
    batch: TrainBatch


def step_program(config: Config, num_ids: int, precision: str = "float32") -> StepProgram:
    """The jitted step on the default device.

    Args:
        config: the network and its sizes.
        num_ids: outputs of the classifiers.
        precision: of the parameters; "float64", which needs jax's x64, computes in it, too.
    """
    import jax
    import jax.numpy as jnp

    from pmm_jax.methods import TrainBatch, create_model
    from pmm_jax.methods.pmm import MixingSample
    from pmm_jax.model.initial import init_params
    from pmm_jax.training.optimizer import make_optimizer
    from pmm_jax.training.state import TrainState
    from pmm_jax.training.train_step import TrainTask, train_step

    network = create_model(config, num_ids, jnp.dtype(precision))
    if precision == "float64":
        network = network._replace(compute_dtype=jnp.dtype(precision))
    task = TrainTask(network, config, make_optimizer(config.optim, lambda _: RATE))
    inputs = batch_of(config)
    negatives = jnp.asarray(inputs.negatives)
    batch = TrainBatch(
        jnp.asarray(inputs.images, precision),
        jnp.asarray(inputs.labels),
        MixingSample((negatives, negatives)),
    )
    state = jax.device_put(TrainState.create(*init_params(network, 0), task.tx))
    return StepProgram(jax.jit(partial(train_step, task), donate_argnums=0), state, batch)


def our_step(
    config: Config, num_ids: int, precision: str = "float32"
) -> tuple[Callable[[], None], Compiled]:
    """The jitted step on the default device, compiled; takes what `step_program` does.

    Returns:
        A call that takes one step and waits for it; the program.
    """
    import jax

    from pmm_jax.model.operations import compiler_options
    from pmm_jax.runtime import trim_heap, trim_settling_heap

    program, state, batch = step_program(config, num_ids, precision)
    compiled = program.lower(state, batch).compile(compiler_options())
    trim_heap()
    taken = 0

    def step() -> None:
        nonlocal state, taken
        state, metrics = compiled(state, batch)
        jax.block_until_ready((state, metrics))
        taken += 1
        trim_settling_heap(taken)

    return step, compiled


class Tuning(NamedTuple):
    """PyTorch options for speed; the release uses none."""

    device: str = "cpu"
    channels_last: bool = False
    autocast: bool = False
    """Activations in bfloat16 where PyTorch thinks it safe."""
    compiled: bool = False
    """The trunk and the part block by torch.compile."""


def baseline_step(
    config: Config,
    num_ids: int,
    precision: str = "float32",
    cam: Literal["released", "head"] = "released",
    tuning: Tuning | None = None,
) -> Callable[[], None]:
    """The PyTorch baseline's step.

    Args:
        config: the network and its sizes.
        num_ids: outputs of the classifiers.
        precision: "float32" or "float64".
        cam: how Grad-CAM is computed, see `torch_baseline.model.PMM`.
        tuning: where and how it runs.
    """
    import torch

    from pmm_jax.torch_baseline.model import PMM
    from pmm_jax.torch_baseline.step import adam, train_step

    tuning = tuning or Tuning()
    torch.manual_seed(0)
    kind = torch.float64 if precision == "float64" else torch.float32
    layout = torch.channels_last if tuning.channels_last else torch.contiguous_format
    model = PMM(config.model, config.method, num_ids, cam).to(tuning.device, kind).train()
    for kernel in (p for p in model.parameters() if p.ndim == 4):
        kernel.data = kernel.data.contiguous(memory_format=layout)
    optimizer = adam(model, config.optim)
    for part in (model.backbone, model.res_part, model.res_part2) if tuning.compiled else ():
        part.compile()
    images, labels, negatives = (
        torch.from_numpy(array).to(tuning.device) for array in batch_of(config)
    )
    images = images.to(kind).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def step() -> None:
        with torch.autocast(tuning.device, torch.bfloat16, enabled=tuning.autocast):
            train_step(model, optimizer, RATE, images, labels, (negatives, negatives))
        if tuning.device == "cuda":
            torch.cuda.synchronize()

    return step
