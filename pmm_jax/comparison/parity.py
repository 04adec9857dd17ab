"""Our model and step against a golden file, quantity by quantity, in float64."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict

from pmm_jax.comparison.golden import STEPS, Golden, golden_weights
from pmm_jax.config import Config
from pmm_jax.mixing import Draws
from pmm_jax.model.initial import initialise
from pmm_jax.model.pmm import Network, Tree, build, embed
from pmm_jax.model.torch_names import release_name
from pmm_jax.training.optimizer import adam
from pmm_jax.training.state import TrainState, new_state
from pmm_jax.training.step import apply_gradient, loss_and_gradient

LEARNING_RATE = 1e-4
"""Of the golden files' three Adam steps."""
ZERO_GRADIENT = 1e-10
"""A norm below it is zero in exact arithmetic (a shift that BatchNorm removes)."""

TOLERANCE = 1e-6
GRADIENT_TOLERANCE = 1e-5

LOSSES = [f"{loss}{stage}" for loss in ("triplet", "cross_entropy") for stage in (1, 2, 3)]


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
    """Print the comparison as it comes; whether every quantity agrees."""
    print(f"seed {golden.seed}, {golden.num_ids} identities, batch {len(golden.labels)}, float64")
    print(f"{'quantity':<44}{'difference':>12}{'tolerance':>12}")
    found = []
    for one in compare_with_golden(golden):
        mark = "" if one.agrees else "  BEYOND"
        print(f"{one.name:<44}{one.difference:>12.1e}{one.tolerance:>12.0e}{mark}", flush=True)
        found.append(one)
    beyond = [one.name for one in found if not one.agrees]
    worst = f"{len(beyond)} beyond tolerance: {', '.join(beyond)}" if beyond else "all agree"
    print(f"{len(found)} quantities, {worst}")
    return not beyond


def compare_with_golden(golden: Golden) -> Iterator[Quantity]:
    """Every quantity of a golden file against ours, as soon as it is known.

    Must run with jax's 64-bit types enabled. Takes minutes: it is the full-size network.

    Args:
        golden: as `read_golden` returns it.
    """
    config, ref = Config(), golden.arrays
    network = build(config, golden.num_ids, jnp.float64)._replace(
        compute_dtype=jnp.dtype("float64")
    )
    weights = golden_weights(initialise(network, seed=0), golden.seed)
    transform = adam(config.optim, lambda _: LEARNING_RATE)
    params, stats = jax.device_put(weights)
    state = new_state(params, stats, transform)
    embed_all = jax.jit(lambda params, stats, images: embed(network, params, stats, images))
    step = _golden_step(network, config, transform, golden.labels)

    yield _relative("eval_embedding", embed_all(params, stats, golden.images[0]), ref)
    for number in range(STEPS):
        negatives = ref[f"step{number}_partner2"], ref[f"step{number}_partner3"]
        state, losses, gradient, maps = step(state, golden.images[number], negatives)
        if number == 0:
            yield from (_map(name, maps, ref) for name in maps)
            yield from _gradients(gradient, ref)
        yield from _losses(number, losses, ref)
        yield from _state(number, state, ref)
    after = embed_all(state.params, state.stats, golden.images[0])
    yield _relative("eval_embedding_after", after, ref)


def _golden_step(
    network: Network, config: Config, transform: optax.GradientTransformation, labels: np.ndarray
) -> Callable:
    def step(state: TrainState, images: jax.Array, negatives: tuple) -> tuple:
        metrics, gradient, stats, out = loss_and_gradient(
            network,
            config,
            state.params,
            state.stats,
            images,
            jnp.asarray(labels),
            Draws(negatives),
        )
        maps = {f"cam{i}": heat for i, heat in enumerate(out.heats, 1)}
        maps |= {f"mask{i}": keep for i, keep in enumerate(out.keeps, 2)}
        maps |= {f"feat{i}": value for i, value in enumerate(out.embeddings, 1)}
        maps |= {f"logits{i}": value for i, value in enumerate(out.logits, 1)}
        means = {f"mixed{i}_channel_mean": x.mean(-1) for i, x in enumerate(out.inputs[1:], 2)}
        assert out.part_map is not None  # there is a part block
        means["part_map_channel_mean"] = out.part_map.mean(-1)
        new_state = apply_gradient(transform, state, gradient, stats)
        return new_state, [metrics[name] for name in LOSSES], gradient, maps | means

    return jax.jit(step)


def _map(name: str, maps: dict[str, jax.Array], ref: dict[str, np.ndarray]) -> Quantity:
    if not name.startswith("mask"):
        return _relative(name, maps[name], ref)
    # A block may be replaced by equal values; only the mixed map tells whether it was.
    mixed = f"mixed{name[-1]}_channel_mean"
    other = np.abs(np.asarray(maps[mixed]) - ref[mixed]) > TOLERANCE * np.abs(ref[mixed]).max()
    differs = (np.asarray(maps[name]) != ref[name].astype(bool)) & other
    return Quantity(f"{name} (cells that differ)", float(differs.sum()), 0.0)


def _gradients(gradient: Tree, ref: dict[str, np.ndarray]) -> Iterator[Quantity]:
    ours = _by_name(gradient)
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


def _losses(number: int, losses: list[jax.Array], ref: dict[str, np.ndarray]) -> Iterator[Quantity]:
    relative = np.abs(np.asarray(losses) / ref["losses"][number] - 1)
    yield Quantity(f"step {number + 1}: losses", _largest(relative), TOLERANCE)


def _state(number: int, state: TrainState, ref: dict[str, np.ndarray]) -> Iterator[Quantity]:
    ours = _by_name(state.params) | _by_name(state.stats)
    names = ref[f"step{number}_state_names"].tolist()
    same = _same_names(f"step {number + 1}: state", names, list(ours))
    yield same
    if not same.agrees:
        return
    running = np.array(["running" in name for name in names])
    norms = np.array([np.linalg.norm(ours[name]) for name in names])
    relative = np.abs(norms / ref[f"step{number}_state_norm"] - 1)
    yield Quantity(f"step {number + 1}: weights, norms", _largest(relative[~running]), TOLERANCE)
    yield Quantity(f"step {number + 1}: statistics, norms", _largest(relative[running]), TOLERANCE)
    sums = np.array([ours[name].sum() for name in names])
    scale = np.array([np.abs(ours[name]).sum() for name in names])
    moved = np.abs(sums - ref[f"step{number}_state_sum"]) / scale
    yield Quantity(f"step {number + 1}: statistics, sums", _largest(moved[running]), TOLERANCE)


def _same_names(what: str, theirs: list[str], ours: list[str]) -> Quantity:
    other = set(theirs) ^ set(ours)
    return Quantity(f"{what}: names on one side only", float(len(other)), 0.0)


def _relative(name: str, ours: jax.Array, ref: dict[str, np.ndarray]) -> Quantity:
    """Largest difference over largest value."""
    value = np.asarray(ours)
    if value.shape != ref[name].shape:
        return Quantity(f"{name} (shape {value.shape} for {ref[name].shape})", np.inf, TOLERANCE)
    difference = np.abs(value - ref[name]).max() / np.abs(ref[name]).max()
    return Quantity(name, float(difference), TOLERANCE)


def _by_name(tree: Tree) -> dict[str, np.ndarray]:
    return {release_name(path): np.asarray(value) for path, value in flatten_dict(tree).items()}


def _largest(values: np.ndarray) -> float:
    """NaN where there is one, so that it can't hide."""
    return float(values.max()) if len(values) else 0.0
