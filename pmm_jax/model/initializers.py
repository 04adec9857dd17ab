"""Distributions of initial values, which modules name where they declare a parameter.

They are sampled by NumPy on the host: the same on every platform, and nothing has to be compiled
(sampling in JAX cost 20 s of compilation on a CPU). So under Flax an initializer only notes its
distribution beside the parameter, and `init_params` samples from it. Means and deviations are
PyTorch's (torch.nn.init).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct

Shape = tuple[int, ...]
Sample = Callable[[np.random.Generator, Shape], np.ndarray]
"""Samples an array of float64."""


class Declared(struct.PyTreeNode, nn.meta.AxisMetadata[Any]):
    """A variable with the distribution that it starts from: Flax's metadata, gone by `nn.unbox`."""

    value: Any
    sample: Sample = struct.field(pytree_node=False)

    def unbox(self) -> Any:
        """The variable alone."""
        return self.value

    def replace_boxed(self, val: Any) -> "Declared":
        """Copy with another value and the same distribution."""
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "Declared":
        """The distribution knows no axes."""
        return self

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "Declared":
        """The distribution knows no axes."""
        return self


Initializer = Callable[[Any, Shape, Any], Any]
"""Initializer for `nn.Module.param`: key (unused), shape and dtype to a `Declared`."""


def declare(sample: Sample, value: float = 0.0) -> Initializer:
    """An initializer of one number everywhere that notes what is drawn in its place."""

    def init(key: jax.Array | None, shape: Shape, dtype: Any) -> Declared:
        return Declared(jnp.full(shape, value, dtype), sample)

    return init


@cache
def constant(value: float) -> Initializer:
    """Constant initializer."""
    return declare(lambda rng, shape: np.full(shape, value), value)


zeros, ones = constant(0.0), constant(1.0)


@cache
def normal(mean: float, std: float) -> Initializer:
    """N(mean, std^2)."""
    return declare(lambda rng, shape: mean + std * rng.standard_normal(shape))


@cache
def kaiming_normal(mode: Literal["fan_in", "fan_out"]) -> Initializer:
    """N(0, 2 / fan): He et al., 2015, for what a ReLU follows."""
    return declare(lambda rng, shape: rng.standard_normal(shape) * np.sqrt(2 / fans(shape)[mode]))


@cache
def torch_default() -> Initializer:
    """Uniform within 1 / sqrt(fan-in): what PyTorch's layers sample unless told otherwise."""
    return declare(lambda rng, shape: rng.uniform(-1, 1, shape) / np.sqrt(fans(shape)["fan_in"]))


def fans(shape: Shape) -> dict[str, int]:
    """Fan-in and fan-out of a kernel (..., C, D)."""
    receptive = int(np.prod(shape[:-2]))
    return {"fan_in": receptive * shape[-2], "fan_out": receptive * shape[-1]}
