"""What the step's program holds: each convolution once, and the stock operations elsewhere."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from pmm_jax.config import Config
from pmm_jax.distributed.sharding import data_mesh, replicated, shard_pytree
from pmm_jax.inference import make_embed
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Network
from pmm_jax.runtime import override_platform
from pmm_jax.training.compile_step import jit_step
from pmm_jax.training.optimizer import make_optimizer
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import TrainTask

IDENTITIES = 9
CONVOLUTIONS = 1 + 4 * 4 + 3
"""Of tiny: the stem, four blocks of three and a projection, the part block."""


def shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def step_and_inputs(config: Config) -> tuple[jax.stages.Wrapped, tuple[Any, ...]]:
    network = create_model(config, IDENTITIES)
    transform = make_optimizer(config.optim, lambda _: 1e-4)
    count = config.data.identities_per_batch * config.data.images_per_identity
    state = shard_pytree(
        TrainState.create(*init_params(network, 0), transform), replicated(data_mesh(count))
    )
    images = jax.ShapeDtypeStruct((count, *config.data.image_size, 3), jnp.uint8)
    labels = jax.ShapeDtypeStruct((count,), jnp.int32)
    return jit_step(TrainTask(network, config, transform), state), (state, images, labels)


@pytest.fixture
def stock() -> Iterator[None]:
    """Programs as they are traced for an accelerator."""
    with override_platform("tpu"):
        yield


def of_type(config: Config, compute_dtype: Any) -> Config:
    return replace(config, model=replace(config.model, compute_dtype=compute_dtype))


@pytest.mark.slow
@pytest.mark.usefixtures("stock")
def test_each_convolution_runs_once_forward_and_once_a_gradient(tiny: Config) -> None:
    step, inputs = step_and_inputs(tiny)
    lowered = step.lower(*inputs)
    # Forward, and the gradients of kernel and input; nobody asks for the images' own.
    assert len(re.findall(r"stablehlo\.convolution", lowered.as_text())) == 3 * CONVOLUTIONS - 1
    # XLA makes matrix products of some, and copies none.
    compiled = len(re.findall(r" convolution\(", lowered.compile().as_text() or ""))
    assert 2 * CONVOLUTIONS < compiled <= 3 * CONVOLUTIONS - 1


@pytest.mark.usefixtures("stock")
def test_rematerialized_blocks_run_forward_twice(tiny: Config) -> None:
    config = replace(tiny, model=replace(tiny.model, remat=True))
    step, inputs = step_and_inputs(config)
    lowered = step.lower(*inputs).as_text()
    # A block's last convolution need not be run again: only its output's BatchNorm asks for it.
    again = len(re.findall(r"stablehlo\.convolution", lowered)) - (3 * CONVOLUTIONS - 1)
    assert again == 4 * 4


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize(
    ("platform", "compute_dtype"),
    [
        ("cuda", "bfloat16"),
        pytest.param("cuda", "float32", marks=pytest.mark.slow),
        pytest.param("tpu", "bfloat16", marks=pytest.mark.slow),
        pytest.param("tpu", "float32", marks=pytest.mark.slow),
    ],
)
def test_the_step_lowers_for_accelerators(tiny: Config, platform: str, compute_dtype: str) -> None:
    step, inputs = step_and_inputs(of_type(tiny, compute_dtype))
    exported = jax.export.export(step, platforms=[platform])(*shapes(inputs))
    text = exported.mlir_module()
    assert exported.platforms == (platform,)
    assert len(re.findall(r"stablehlo\.convolution", text)) == 3 * CONVOLUTIONS - 1
    assert ("bf16" in text) == (compute_dtype == "bfloat16")
    assert "f64" not in text
    assert not re.findall(r"callback|infeed|outfeed|stablehlo\.(?:send|recv)\b", text)


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
def test_embedding_lowers_for_accelerators(tiny: Config, platform: str, compute_dtype: str) -> None:
    network: Network = create_model(of_type(tiny, compute_dtype), IDENTITIES)
    images = jax.ShapeDtypeStruct((8, *tiny.data.image_size, 3), jnp.uint8)
    weights = shapes(init_params(network, 0))
    exported = jax.export.export(jax.jit(make_embed(network)), platforms=[platform])(
        *weights, images
    )
    assert len(re.findall(r"stablehlo\.convolution", exported.mlir_module())) == CONVOLUTIONS
    (output,) = exported.out_avals
    assert output.dtype == jnp.float32
