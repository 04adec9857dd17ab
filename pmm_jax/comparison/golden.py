"""Golden files: numbers from the PyTorch release, and the inputs that a formula makes for both.

A file holds the release's results in float64 for a seed, a number of identities and a batch size;
weights and images follow from these, so that nothing large is stored. The formula and the keys are
in tests/golden/README.md.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from pmm_jax.errors import UserError
from pmm_jax.files import printable
from pmm_jax.model.pmm import Tree
from pmm_jax.model.torch_names import from_torch, release_name, torch_shape
from pmm_jax.npz import read_npz

IMAGE_SIZE, MAP_SIZE, EMBEDDING = (384, 128), (24, 8), 512
STEPS = 3
NEEDED = (
    *("seed", "num_ids", "ids_per_batch", "eval_embedding", "eval_embedding_after", "losses"),
    *("cam1", "cam2", "mask2", "mask3", "part_map_channel_mean"),
    *("mixed2_channel_mean", "mixed3_channel_mean", "grad_names", "grad_norm", "grad_sum"),
    *(f"{name}{stage}" for stage in (1, 2, 3) for name in ("feat", "logits")),
    *(f"step{i}_partner{stage}" for i in range(STEPS) for stage in (2, 3)),
    *(f"step{i}_state_{name}" for i in range(STEPS) for name in ("names", "norm", "sum")),
)
"""Arrays that a golden file must hold."""

MOST_CLASSES = 10**6
MOST_IDENTITIES = 64
"""Largest number of identities in a batch, whose images of three steps take 0.9 GB."""


@dataclass(frozen=True, eq=False)
class Golden:
    """A golden file and the inputs that it was made from."""

    arrays: dict[str, np.ndarray]
    """Arrays of the file, by name."""
    seed: int
    num_ids: int
    images: np.ndarray
    """(3, N, 384, 128, 3) float64, normalized: a batch for each step."""
    labels: np.ndarray
    """(N,) int."""


def read_golden(path: Path) -> Golden:
    """A golden file, with its images and labels generated.

    Raises:
        UserError: no such file, or no golden file: an array is missing, misshapen, of another type,
            not finite or out of range.
    """
    arrays = read_npz(path, NEEDED, "a golden file")
    seed = _count(path, arrays, "seed", 0, 2**63 - 1)
    num_ids = _count(path, arrays, "num_ids", 2, MOST_CLASSES)
    identities = _count(path, arrays, "ids_per_batch", 2, min(num_ids, MOST_IDENTITIES))
    _check_arrays(path, arrays, 4 * identities, num_ids)
    rng = np.random.default_rng([seed, 1])
    shape = (4 * identities, 3, *IMAGE_SIZE)
    # The order of the samples is part of the format: first images, labels, then the other images.
    first = rng.standard_normal(shape)
    labels = np.repeat(rng.choice(num_ids, identities, replace=False), 4)
    images = np.stack([first, *(rng.standard_normal(shape) for _ in range(STEPS - 1))])
    return Golden(arrays, seed, num_ids, images.transpose(0, 1, 3, 4, 2), labels)


def _count(path: Path, arrays: dict[str, np.ndarray], name: str, low: int, high: int) -> int:
    value = arrays[name]
    if value.shape != () or value.dtype.kind not in "iu" or not low <= int(value) <= high:
        found = f"{value}" if value.shape == () else f"of the shape {value.shape}"
        _refuse(path, name, f"is {found}, not one integer of {low} to {high}")
    return int(value)


def _check_arrays(path: Path, arrays: dict[str, np.ndarray], n: int, num_ids: int) -> None:
    """Hold every array to its type and shape, for a batch of n images."""
    for name in NEEDED[3:]:
        value, shape = arrays[name], _shape(name, arrays, n, num_ids)
        kinds = "U" if name.endswith("_names") else "iu" if "partner" in name else "biuf"
        if value.shape != shape:
            _refuse(path, name, f"has the shape {value.shape}, not {shape}")
        if value.dtype.kind not in kinds:
            _refuse(path, name, f"holds {value.dtype}")
        if kinds == "biuf" and not np.isfinite(value).all():
            _refuse(path, name, "holds NaN or infinity")
        if kinds == "iu" and not ((value >= 0) & (value < n)).all():
            _refuse(path, name, f"holds indices beyond 0 to {n - 1}")


def _shape(name: str, arrays: dict[str, np.ndarray], n: int, num_ids: int) -> tuple[int, ...]:
    if "grad_" in name or "_state_" in name:
        return (arrays[name.rpartition("_")[0] + "_names"].size,)
    if name == "losses":
        return (STEPS, 6)
    sizes = {"eval": (3 * EMBEDDING,), "feat": (EMBEDDING,), "logi": (num_ids,), "step": ()}
    return (n, *sizes.get(name[:4], MAP_SIZE))


def _refuse(path: Path, name: str, fault: str) -> NoReturn:
    raise UserError(f"{path}: {name} {printable(fault)}; it is not a golden file")


def golden_weights(like: tuple[Tree, Tree], seed: int) -> tuple[Tree, Tree]:
    """Parameters and statistics by the formula, in the shapes of `like`, float64."""

    def filled(tree: Tree) -> Tree:
        return unflatten_dict(
            {
                path: from_torch(
                    path, golden_value(seed, release_name(path), torch_shape(path, leaf.shape))
                )
                for path, leaf in flatten_dict(tree).items()
            }
        )

    return filled(like[0]), filled(like[1])


def golden_value(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One array by the formula: `name` and `shape` are PyTorch's."""
    z = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
    if name.endswith("running_mean"):
        return 0.1 * z
    if name.endswith("running_var"):
        return 1.0 + 0.1 * np.abs(z)
    if len(shape) == 1:
        return (1.0 if name.endswith("weight") else 0.0) + 0.1 * z
    return z * np.sqrt(2.0 / np.prod(shape[1:]))
