"""Our model and step against a golden file, quantity by quantity, in float64."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from pmm_jax.comparison.golden import STEPS, Golden, golden_weights
from pmm_jax.config import Config
from pmm_jax.methods import TrainBatch, create_model
from pmm_jax.methods.pmm import MixingSample
from pmm_jax.model.initial import shapes
from pmm_jax.model.pmm import Tree, embed
from pmm_jax.model.torch_names import release_name
from pmm_jax.training.optimizer import make_optimizer
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import TrainTask, compute_gradients

LEARNING_RATE = 1e-4
"""Learning rate of the golden files' three Adam steps."""
ZERO_GRADIENT = 1e-10
"""A norm below it is zero in exact arithmetic (a shift that BatchNorm removes)."""

TOLERANCE = 1e-6
GRADIENT_TOLERANCE = 1e-5

LOSSES = [f"{loss}{stage}" for loss in ("triplet", "cross_entropy") for stage in (1, 2, 3)]
MAPS = (
    *("cam1", "cam2", "mask2", "mask3"),
    *(f"{name}{stage}" for name in ("feat", "logits") for stage in (1, 2, 3)),
    *("mixed2_channel_mean", "mixed3_channel_mean", "part_map_channel_mean"),
)
"""Arrays of the first step that are compared, by the golden file's names."""


@dataclass(frozen=True)
class Quantity:
    """One line of the comparison."""

    name: str
    difference: float
    """Relative, unless the name says otherwise."""
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within tolerance; NaN is not."""
        return self.difference <= self.tolerance


def print_parity(golden: Golden) -> bool:
    """Print the comparison; returns whether every quantity agrees."""
    print(f"seed {golden.seed}, {golden.num_ids} identities, batch {len(golden.labels)}, float64")
    print(f"{'quantity':<44}{'difference':>12}{'tolerance':>12}")
    found = []
    for one in compare(Ours(golden), golden.arrays):
        mark = "" if one.agrees else "  BEYOND"
        print(f"{one.name:<44}{one.difference:>12.1e}{one.tolerance:>12.0e}{mark}", flush=True)
        found.append(one)
    beyond = [one.name for one in found if not one.agrees]
    worst = f"{len(beyond)} beyond tolerance: {', '.join(beyond)}" if beyond else "all agree"
    print(f"{len(found)} quantities, {worst}")
    return not beyond


class Step(NamedTuple):
    """Results of one training step, by the release's names or the golden file's."""

    losses: np.ndarray
    """(6,) losses of the three stages."""
    gradient: dict[str, np.ndarray]
    """Gradient of each weight, before Adam."""
    state: dict[str, np.ndarray]
    """Weights and running statistics, after Adam."""
    maps: dict[str, np.ndarray]
    """CAMs, masks, embeddings, logits and channel means."""


class Ours:
    """Our model in float64, trained on a golden file's inputs, from its weights.

    Needs jax's 64-bit types enabled. Takes minutes: it is the full-size network.
    """

    def __init__(self, golden: Golden) -> None:
        self._golden, config = golden, Config()
        network = create_model(config, golden.num_ids, jnp.float64)
        network = network._replace(compute_dtype=jnp.dtype("float64"))
        params, batch_stats = jax.device_put(golden_weights(shapes(network), golden.seed))
        tx = make_optimizer(config.optim, lambda _: LEARNING_RATE)
        self._task = TrainTask(network, config, tx)
        self._state = TrainState.create(params, batch_stats, tx)
        self._embed = jax.jit(lambda *model: embed(network, *model))
        self._step = jax.jit(self._take_step)

    def embed(self) -> np.ndarray:
        """Test-mode embeddings of the first step's images with the current weights, (N, 1536)."""
        return np.asarray(
            self._embed(self._state.params, self._state.batch_stats, self._golden.images[0])
        )

    def step(self, number: int) -> Step:
        """Take one training step, counted from 0."""
        arrays = self._golden.arrays
        negatives = arrays[f"step{number}_partner2"], arrays[f"step{number}_partner3"]
        self._state, losses, gradient, maps = self._step(
            self._state, self._golden.images[number], negatives
        )
        state = _by_name(self._state.params) | _by_name(self._state.batch_stats)
        maps = {name: np.asarray(value) for name, value in maps.items()}
        return Step(np.asarray(losses), _by_name(gradient), state, maps)

    def _take_step(
        self, state: TrainState, images: jax.Array, negatives: tuple[jax.Array, jax.Array]
    ) -> Any:
        batch = TrainBatch(images, jnp.asarray(self._golden.labels), MixingSample(negatives))
        grads, batch_stats, metrics, out, _ = compute_gradients(self._task, state, batch)
        maps = {f"cam{i}": cam for i, cam in enumerate(out.cams, 1)}
        maps |= {f"mask{i}": mask for i, mask in enumerate(out.masks, 2)}
        maps |= {f"feat{i}": value for i, value in enumerate(out.embeddings, 1)}
        maps |= {f"logits{i}": value for i, value in enumerate(out.logits, 1)}
        maps |= {f"mixed{i}_channel_mean": x.mean(-1) for i, x in enumerate(out.inputs[1:], 2)}
        assert out.part_map is not None  # there is a part block
        maps["part_map_channel_mean"] = out.part_map.mean(-1)
        state = state.apply_gradients(self._task.tx, grads, batch_stats)
        return state, [metrics[name] for name in LOSSES], grads, maps


def compare(ours: Ours, ref: dict[str, np.ndarray]) -> Iterator[Quantity]:
    """Compare every quantity of a golden file with ours, one at a time.

    Args:
        ours: before its first step.
        ref: the golden file's arrays.
    """
    yield _relative("eval_embedding", ours.embed(), ref)
    for number in range(STEPS):
        step = ours.step(number)
        if number == 0:
            yield from (_map(name, step.maps, ref) for name in MAPS)
            yield from _gradients(step.gradient, ref)
        yield from _losses(number, step.losses, ref)
        yield from _state(number, step.state, ref)
    yield _relative("eval_embedding_after", ours.embed(), ref)


def _map(name: str, maps: dict[str, np.ndarray], ref: dict[str, np.ndarray]) -> Quantity:
    if not name.startswith("mask"):
        return _relative(name, maps[name], ref)
    # A block may be replaced by equal values; only the mixed map tells whether it was.
    mixed = f"mixed{name[-1]}_channel_mean"
    other = np.abs(maps[mixed] - ref[mixed]) > TOLERANCE * np.abs(ref[mixed]).max()
    differs = (maps[name] != ref[name].astype(bool)) & other
    return Quantity(f"{name} (cells that differ)", float(differs.sum()), 0.0)


def _gradients(ours: dict[str, np.ndarray], ref: dict[str, np.ndarray]) -> Iterator[Quantity]:
    names = ref["grad_names"].tolist()
    same = _same_names("gradients", names, list(ours))
    yield same
    if not same.agrees:
        return  # sizes can't be compared by name
    norms = np.array([np.linalg.norm(ours[name]) for name in names])
    sums = np.array([ours[name].sum() for name in names])
    sizes = np.array([ours[name].size for name in names])
    nonzero = ref["grad_norm"] >= ZERO_GRADIENT
    relative = np.abs(norms / np.where(nonzero, ref["grad_norm"], 1) - 1)[nonzero]
    yield Quantity("gradient norms", _largest(relative), GRADIENT_TOLERANCE)
    # A sum may cancel to nothing; it moves by at most sqrt(size) times the gradient's own change.
    bound = np.sqrt(sizes) * ref["grad_norm"]
    moved = (np.abs(sums - ref["grad_sum"]) / np.where(nonzero, bound, 1))[nonzero]
    yield Quantity("gradient sums (of sqrt(size) x norm)", _largest(moved), GRADIENT_TOLERANCE)
    yield Quantity("gradients that are zero (norm)", _largest(norms[~nonzero]), ZERO_GRADIENT)


def _losses(number: int, ours: np.ndarray, ref: dict[str, np.ndarray]) -> Iterator[Quantity]:
    relative = _ratio(np.abs(ours - ref["losses"][number]), np.abs(ref["losses"][number]))
    yield Quantity(f"step {number + 1}: losses", _largest(relative), TOLERANCE)


def _state(
    number: int, ours: dict[str, np.ndarray], ref: dict[str, np.ndarray]
) -> Iterator[Quantity]:
    names = ref[f"step{number}_state_names"].tolist()
    same = _same_names(f"step {number + 1}: state", names, list(ours))
    yield same
    if not same.agrees:
        return
    running = np.array(["running" in name for name in names])
    norms = np.array([np.linalg.norm(ours[name]) for name in names])
    expected = ref[f"step{number}_state_norm"]
    relative = _ratio(np.abs(norms - expected), np.abs(expected))
    yield Quantity(f"step {number + 1}: weights, norms", _largest(relative[~running]), TOLERANCE)
    yield Quantity(f"step {number + 1}: statistics, norms", _largest(relative[running]), TOLERANCE)
    sums = np.array([ours[name].sum() for name in names])
    scale = np.array([np.abs(ours[name]).sum() for name in names])
    moved = _ratio(np.abs(sums - ref[f"step{number}_state_sum"]), scale)
    yield Quantity(f"step {number + 1}: statistics, sums", _largest(moved[running]), TOLERANCE)


def _same_names(what: str, theirs: list[str], ours: list[str]) -> Quantity:
    other = set(theirs) ^ set(ours)
    return Quantity(f"{what}: names on one side only", float(len(other)), 0.0)


def _relative(name: str, ours: np.ndarray, ref: dict[str, np.ndarray]) -> Quantity:
    """Largest difference over largest value."""
    difference = _ratio(np.abs(ours - ref[name]).max(), np.abs(ref[name]).max())
    return Quantity(name, float(difference), TOLERANCE)


def _ratio(difference: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Relative difference; infinite or NaN, and so never within tolerance, if expected is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(difference) / scale


def _by_name(tree: Tree) -> dict[str, np.ndarray]:
    return {release_name(path): np.asarray(value) for path, value in flatten_dict(tree).items()}


def _largest(values: np.ndarray) -> float:
    """NaN where there is one, so that it can't hide."""
    return float(values.max()) if len(values) else 0.0
