"""A training pass in float64, and what its parts should be, in plain NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pmm_jax.config import Config
from pmm_jax.methods import TrainBatch, create_model, get_method
from pmm_jax.methods.pmm import MixingSample
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Network, TrainPass, Tree

IDS, N = 9, 8
LABELS = np.array([4, 4, 0, 7, 7, 0, 2, 2], np.int32)
NEGATIVES = np.array([2, 7, 0, 5, 1, 6, 3, 4]), np.array([3, 4, 7, 0, 6, 1, 5, 2])

Forward = dict[str, Any]


def images(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (N, 96, 32, 3), dtype=np.uint8)


def random_model(config: Config) -> tuple[Network, Tree, Tree]:
    """A float64 network, its statistics and biases away from their fresh values."""
    network = create_model(config, IDS, jnp.float64)._replace(compute_dtype=jnp.dtype("float64"))
    rng = np.random.default_rng(3)
    params, stats = jax.tree.map(
        lambda leaf: (
            np.abs(leaf + 0.1 * rng.standard_normal(leaf.shape))
            if (leaf == 1).all()
            else leaf + 0.1 * rng.standard_normal(leaf.shape) * (leaf.ndim == 1)
        ),
        init_params(network, 0),
    )
    return network, params, stats


def forward(config: Config, sample: Any = None) -> Forward:
    """A training pass in float64: its outputs, and the clean part map."""
    with jax.enable_x64(True):
        network, params, stats = random_model(config)
        pixels = images() / 128.0 - 1
        if sample is None:
            sample = MixingSample((jnp.asarray(NEGATIVES[0]), jnp.asarray(NEGATIVES[1])))

        def run(params: Tree, stats: Tree, pixels: jax.Array) -> Any:
            net = TrainPass(network, {"params": params, "batch_stats": stats})
            batch = TrainBatch(pixels, jnp.asarray(LABELS), sample)
            outputs = get_method(config)(config).forward(net, batch)
            part = None
            if "part_block" in network.modules:
                variables = {"params": params["part_block"], "batch_stats": stats["part_block"]}
                part, _ = network.modules["part_block"].apply(
                    variables, outputs.inputs[0], True, mutable=["batch_stats"]
                )
            return vars(outputs), net.batch_stats, part

        outputs, moved, part = jax.device_get(jax.jit(run)(params, stats, pixels))
    return {
        **outputs,
        "config": config,
        "params": params,
        "stats": stats,
        "moved": moved,
        "part_map": part,
        "pixels": pixels,
    }


def naive_norm(y: np.ndarray, params: Tree) -> np.ndarray:
    centered = y - y.mean(0, keepdims=True)
    scaled = centered / np.sqrt((centered**2).mean(0, keepdims=True) + 1e-5)
    return scaled * params["scale"][None] + params["bias"][None]


def naive_head(pooled: np.ndarray, params: Tree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pooled features to what enters BatchNorm, embedding, logits."""
    reduced = pooled @ params["reduction"]["kernel"] + params["reduction"]["bias"][None]
    embedding = np.maximum(naive_norm(reduced, params["bn"]), 0)
    logits = embedding @ params["classifier"]["kernel"] + params["classifier"]["bias"][None]
    return reduced, embedding, logits


def pool(stage: int, feature_map: np.ndarray) -> np.ndarray:
    return feature_map.mean((1, 2)) if stage == 1 else feature_map.max((1, 2))


def naive_cam(stage: int, feature_map: np.ndarray, params: Tree) -> np.ndarray:
    """By finite differences: raising a whole channel raises its pooled value as much."""
    pooled, step = pool(stage, feature_map), 1e-6
    cells = feature_map.shape[1] * feature_map.shape[2]

    def score(pooled: np.ndarray) -> float:
        logits = naive_head(pooled, params)[2]
        return sum(logits[n, LABELS[n]] for n in range(N))

    cam = np.zeros(feature_map.shape[:3])
    for n in range(N):
        for c in range(pooled.shape[1]):
            up, down = pooled.copy(), pooled.copy()
            up[n, c] += step
            down[n, c] -= step
            # The mean over space of d score / d map.
            weight = (score(up) - score(down)) / (2 * step) / cells
            cam[n] += weight * feature_map[n, :, :, c]
    return np.maximum(cam, 0)


def naive_mix(
    cam: np.ndarray, base: np.ndarray, source: np.ndarray, negatives: np.ndarray, method: Any
) -> np.ndarray:
    height, width = method.block
    mixed = base.copy()
    for n in range(N):
        sums = {}
        for top in range(0, cam.shape[1], height):
            for left in range(0, cam.shape[2], width):
                sums[top, left] = cam[n, top : top + height, left : left + width].sum()
        for top, left in sorted(sums, key=lambda place: -sums[place])[: method.top_k]:
            window = slice(top, top + height), slice(left, left + width)
            mixed[n][window] = source[negatives[n]][window]
    return mixed
