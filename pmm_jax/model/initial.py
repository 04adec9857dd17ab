"""Initial values, every rule in one table.

They are drawn by NumPy on the host, each array from its own stream (seed, name): the same on every
platform, and nothing has to be compiled (drawing in JAX cost 20 s of compilation on a CPU).
"""

import zlib
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from pmm_jax.model.pmm import Network, Tree


def init_params(network: Network, seed: int, zero_init_last: bool = False) -> tuple[Tree, Tree]:
    """Parameters and fresh statistics of every part, on the host.

    Args:
        network: as `build` makes it.
        seed: of the draw.
        zero_init_last: see ModelConfig.

    Returns:
        params and stats, nested dictionaries of NumPy arrays whose first keys are the parts.
    """
    like, like_stats = shapes(network)
    params = {
        path: _draw(seed, path, leaf, zero_init_last) for path, leaf in flatten_dict(like).items()
    }
    stats = {
        path: (np.zeros if path[-1] == "mean" else np.ones)(leaf.shape, leaf.dtype)
        for path, leaf in flatten_dict(like_stats).items()
    }
    return unflatten_dict(params), unflatten_dict(stats)


def shapes(network: Network) -> tuple[Tree, Tree]:
    """Parameters and statistics of every part as shapes with types; nothing is computed."""
    params, stats = {}, {}
    image = jax.ShapeDtypeStruct((2, 64, 64, 3), network.compute_dtype)
    feature_map = jax.ShapeDtypeStruct((2, 4, 4, network.channels), network.compute_dtype)
    for name, part in network.modules.items():
        x = image if name == "trunk" else feature_map
        made = jax.eval_shape(lambda x, part=part: part.init(jax.random.key(0), x, True), x)
        params[name], stats[name] = made["params"], made["batch_stats"]
    return params, stats


def _draw(seed: int, path: tuple[str, ...], leaf: Any, zero_init_last: bool) -> np.ndarray:
    """One parameter, by its name.

    - kernels of the trunk: He-normal by fan-out, as torchvision's ResNet from scratch;
    - kernels of the part block: PyTorch's own default, uniform within 1 / sqrt(fan-in), because
      the release leaves them so;
    - the heads: He-normal by fan-out, stage I's reduction by fan-in (a convolution in the
      release); the scales of their BatchNorm N(1, 0.02);
    - the powers of generalized means 3 (Radenović et al., 2019);
    - all other scales 1, all biases 0.
    """
    part, kind, shape = path[0], path[-1], leaf.shape
    rng = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
    if kind == "kernel":
        receptive = int(np.prod(shape[:-2]))
        fan_in, fan_out = receptive * shape[-2], receptive * shape[-1]
        if part == "part_block":
            value = rng.uniform(-1, 1, shape) / np.sqrt(fan_in)
        else:
            fan = fan_in if path == ("stage1", "reduction", "kernel") else fan_out
            value = rng.standard_normal(shape) * np.sqrt(2 / fan)
    elif kind == "scale":
        if part not in ("trunk", "part_block"):
            value = 1 + 0.02 * rng.standard_normal(shape)
        else:
            value = np.full(shape, float(not (zero_init_last and path[-2] == "bn3")))
    else:
        value = np.full(shape, 3.0 if kind == "power" else 0.0)
    return value.astype(leaf.dtype)
