"""One training step: what each stage sees, what moves, and what it depends on."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from pmm_jax.config import Config, MethodConfig
from pmm_jax.data.augment import augment
from pmm_jax.mixing import draw_negatives
from pmm_jax.model.initial import initialise
from pmm_jax.model.pmm import Network, Tree, build, embed, train_forward
from pmm_jax.training.optimizer import adam, learning_rate
from pmm_jax.training.state import TrainState, new_state
from pmm_jax.training.step import Step, make_step

IDS, N = 9, 8
LABELS = np.array([4, 4, 0, 7, 7, 0, 2, 2], np.int32)
NEGATIVES = np.array([2, 7, 0, 5, 1, 6, 3, 4]), np.array([3, 4, 7, 0, 6, 1, 5, 2])

Forward = dict[str, Any]


def images(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (N, 96, 32, 3), dtype=np.uint8)


def drawn_model(config: Config) -> tuple[Network, Tree, Tree]:
    """A float64 network, its statistics and biases away from their fresh values."""
    network = build(config, IDS, jnp.float64)._replace(compute_dtype=jnp.dtype("float64"))
    rng = np.random.default_rng(3)
    params, stats = jax.tree.map(
        lambda leaf: (
            np.abs(leaf + 0.1 * rng.standard_normal(leaf.shape))
            if (leaf == 1).all()
            else leaf + 0.1 * rng.standard_normal(leaf.shape) * (leaf.ndim == 1)
        ),
        initialise(network, 0),
    )
    return network, params, stats


def forward(config: Config) -> Forward:
    """A training pass in float64: its outputs, and the clean part map."""
    with jax.enable_x64(True):
        network, params, stats = drawn_model(config)
        pixels = images() / 128.0 - 1

        def run(params: Tree, stats: Tree, pixels: jax.Array) -> Any:
            outputs, moved = train_forward(
                network,
                config,
                params,
                stats,
                pixels,
                jnp.asarray(LABELS),
                (jnp.asarray(NEGATIVES[0]), jnp.asarray(NEGATIVES[1])),
            )
            part = None
            if "part_block" in network.parts:
                variables = {"params": params["part_block"], "batch_stats": stats["part_block"]}
                part, _ = network.parts["part_block"].apply(
                    variables, outputs.inputs[0], True, mutable=["batch_stats"]
                )
            return vars(outputs), moved, part

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


@pytest.fixture(scope="module")
def released(tiny: Config) -> Forward:
    return forward(tiny)


@pytest.fixture(scope="module")
def cumulative(tiny: Config) -> Forward:
    return forward(replace(tiny, method=replace(tiny.method, cumulative=True, top_k=3)))


@pytest.fixture(params=["released", "cumulative"])
def either(request: pytest.FixtureRequest) -> Forward:
    return request.getfixturevalue(request.param)


def naive_norm(y: np.ndarray, params: Tree) -> np.ndarray:
    centred = y - y.mean(0, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(0, keepdims=True) + 1e-5)
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

    heat = np.zeros(feature_map.shape[:3])
    for n in range(N):
        for c in range(pooled.shape[1]):
            up, down = pooled.copy(), pooled.copy()
            up[n, c] += step
            down[n, c] -= step
            # The mean over space of d score / d map.
            weight = (score(up) - score(down)) / (2 * step) / cells
            heat[n] += weight * feature_map[n, :, :, c]
    return np.maximum(heat, 0)


def naive_mix(
    heat: np.ndarray, base: np.ndarray, source: np.ndarray, negatives: np.ndarray, method: Any
) -> np.ndarray:
    height, width = method.block
    mixed = base.copy()
    for n in range(N):
        sums = {}
        for top in range(0, heat.shape[1], height):
            for left in range(0, heat.shape[2], width):
                sums[top, left] = heat[n, top : top + height, left : left + width].sum()
        for top, left in sorted(sums, key=lambda place: -sums[place])[: method.top_k]:
            window = slice(top, top + height), slice(left, left + width)
            mixed[n][window] = source[negatives[n]][window]
    return mixed


def test_cams_against_finite_differences(either: Forward) -> None:
    for stage in (1, 2):
        expected = naive_cam(stage, either["inputs"][stage - 1], either["params"][f"stage{stage}"])
        found = either["heats"][stage - 1]
        assert (expected > 0).mean() > 0.2
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * expected.max())


def test_stage_2_sees_the_part_map_mixed_by_the_first_cam(either: Forward) -> None:
    part_map, method = either["part_map"], either["config"].method
    expected = naive_mix(either["heats"][0], part_map, part_map, NEGATIVES[0], method)
    assert (expected != part_map).any((1, 2, 3)).all()
    np.testing.assert_allclose(either["inputs"][1], expected, rtol=1e-9, atol=1e-12)


def test_stage_3_sees_the_clean_map_mixed_by_the_second_cam(released: Forward) -> None:
    part_map, method = released["part_map"], released["config"].method
    expected = naive_mix(released["heats"][1], part_map, part_map, NEGATIVES[1], method)
    np.testing.assert_allclose(released["inputs"][2], expected, rtol=1e-9, atol=1e-12)


def test_cumulative_starts_stage_3_from_the_mixed_map(cumulative: Forward) -> None:
    mixed2, method = cumulative["inputs"][1], cumulative["config"].method
    expected = naive_mix(cumulative["heats"][1], mixed2, mixed2, NEGATIVES[1], method)
    np.testing.assert_allclose(cumulative["inputs"][2], expected, rtol=1e-9, atol=1e-12)


def test_top_k_blocks_are_replaced(released: Forward, cumulative: Forward) -> None:
    for run, top_k in ((released, 2), (cumulative, 3)):
        for keep in run["keeps"]:
            assert ((~keep).sum((1, 2)) == top_k * 2).all()  # blocks of 2 x 1 cells


def test_heads_make_embeddings_and_logits_of_what_they_see(released: Forward) -> None:
    for stage in (1, 2, 3):
        pooled = pool(stage, released["inputs"][stage - 1])
        _, embedding, logits = naive_head(pooled, released["params"][f"stage{stage}"])
        np.testing.assert_allclose(released["embeddings"][stage - 1], embedding, atol=1e-9)
        np.testing.assert_allclose(released["logits"][stage - 1], logits, atol=1e-9)


def assert_moved_once(before: Tree, after: Tree, samples: np.ndarray) -> None:
    """PyTorch's rule: a tenth of the batch's mean and of its unbiased variance."""
    flat = samples.reshape(-1, samples.shape[-1])
    mean = flat.sum(0) / len(flat)
    unbiased = ((flat - mean[None]) ** 2).sum(0) / (len(flat) - 1)
    np.testing.assert_allclose(after["mean"], 0.9 * before["mean"] + 0.1 * mean, rtol=1e-8)
    np.testing.assert_allclose(after["var"], 0.9 * before["var"] + 0.1 * unbiased, rtol=1e-8)


def test_statistics_move_once_by_the_unbiased_variance(released: Forward) -> None:
    params, before, after = released["params"], released["stats"], released["moved"]
    for stage in (1, 2, 3):
        name = f"stage{stage}"
        reduced, _, _ = naive_head(pool(stage, released["inputs"][stage - 1]), params[name])
        assert_moved_once(before[name]["bn"], after[name]["bn"], reduced)

    # Stages II and III share the part block, which runs once.
    kernel = params["part_block"]["conv1"]["kernel"][0, 0]
    assert_moved_once(
        before["part_block"]["bn1"], after["part_block"]["bn1"], released["inputs"][0] @ kernel
    )

    kernel = params["trunk"]["conv1"]["kernel"]
    padded = np.pad(released["pixels"], ((0, 0), (3, 3), (3, 3), (0, 0)))
    conv1 = sum(
        padded[:, i : i + 96 : 2, j : j + 32 : 2] @ kernel[i, j] for i in range(7) for j in range(7)
    )
    assert_moved_once(before["trunk"]["bn1"], after["trunk"]["bn1"], conv1)
    for path, value in flatten_dict(after).items():
        assert (value != flatten_dict(before)[path]).any(), path


def test_at_test_time_heads_see_clean_maps_and_running_statistics(tiny: Config) -> None:
    with jax.enable_x64(True):
        network, params, stats = drawn_model(tiny)
        pixels = images() / 128.0 - 1

        def run(pixels: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            def part(name: str, x: jax.Array) -> Any:
                variables = {"params": params[name], "batch_stats": stats[name]}
                return network.parts[name].apply(variables, x, False)

            feature_map = part("trunk", x=pixels)
            return (
                embed(network, params, stats, pixels),
                feature_map,
                part("part_block", feature_map),
            )

        found, feature_map, part_map = jax.device_get(jax.jit(run)(pixels))
    assert found.shape == (N, 3 * 16)
    for stage, seen in ((1, feature_map), (2, part_map), (3, part_map)):
        weights, running = params[f"stage{stage}"], stats[f"stage{stage}"]["bn"]
        y = naive_head(pool(stage, seen), weights)[0]
        y = (y - running["mean"][None]) / np.sqrt(running["var"][None] + 1e-5)
        y = np.maximum(y * weights["bn"]["scale"][None] + weights["bn"]["bias"][None], 0)
        np.testing.assert_allclose(found[:, 16 * (stage - 1) : 16 * stage], y, atol=1e-9)


def test_the_baseline_has_stage_1_alone(tiny: Config) -> None:
    config = replace(tiny, method=MethodConfig(name="baseline"))
    assert list(build(config, IDS).parts) == ["trunk", "stage1"]
    run = forward(config)
    assert [len(run[name]) for name in ("embeddings", "logits", "inputs")] == [1, 1, 1]
    assert run["heats"] == run["keeps"] == ()
    assert set(run["moved"]) == {"trunk", "stage1"}


def prepare(config: Config) -> tuple[Network, optax.GradientTransformation, TrainState]:
    network = build(config, IDS)
    transform = adam(config.optim, learning_rate(config.optim, config.train.epochs, 2))
    state = new_state(*initialise(network, config.train.seed), transform)
    return network, transform, jax.tree.map(jnp.array, state)


@pytest.fixture(scope="module")
def step(tiny: Config) -> Step:
    network, transform, _ = prepare(tiny)
    return make_step(network, tiny, transform)


def take(step: Step, config: Config, seeds: list[int], start: int = 0) -> tuple[Any, list[Any]]:
    """Steps from a fresh state whose counter stands at `start`, one for each seed of images."""
    _, _, state = prepare(config)
    state = replace(state, step=jnp.int32(start))
    metrics = []
    for seed in seeds:
        state, found = step(state, jnp.asarray(images(seed)), jnp.asarray(LABELS))
        metrics.append(jax.device_get(found))
    return jax.device_get(state), metrics


def test_the_loss_is_the_sum_of_six(step: Step, tiny: Config) -> None:
    _, (metrics,) = take(step, tiny, [0])
    six = [metrics[f"{kind}{i}"] for kind in ("triplet", "cross_entropy") for i in (1, 2, 3)]
    assert set(metrics) == {"loss", "accuracy"} | {
        f"{kind}{i}" for kind in ("triplet", "cross_entropy") for i in (1, 2, 3)
    }
    assert len({float(value) for value in six}) == 6
    np.testing.assert_allclose(metrics["loss"], sum(six), rtol=1e-6)
    assert 0 <= metrics["accuracy"] <= 1


def naive_triplet(embeddings: np.ndarray) -> float:
    total = 0.0
    for a in range(N):
        distances = [float(np.sqrt(((embeddings[a] - embeddings[b]) ** 2).sum())) for b in range(N)]
        farthest = max(d for d, label in zip(distances, LABELS, strict=True) if label == LABELS[a])
        nearest = min(d for d, label in zip(distances, LABELS, strict=True) if label != LABELS[a])
        total += np.log1p(np.exp(farthest - nearest))
    return total / N


def naive_cross_entropy(logits: np.ndarray) -> float:
    total = 0.0
    for n in range(N):
        log_p = logits[n] - np.log(np.exp(logits[n]).sum())
        for c in range(IDS):
            total -= (0.9 * (c == LABELS[n]) + 0.1 / IDS) * log_p[c]
    return total / N


def test_losses_of_the_step_follow_from_seed_and_step(step: Step, tiny: Config) -> None:
    _, (metrics,) = take(step, tiny, [0], start=5)
    network, _, state = prepare(tiny)
    # The documented rule: everything random comes from fold_in(seed, step).
    keys = jax.random.split(jax.random.fold_in(jax.random.key(tiny.train.seed), 5), 3)
    labels = jnp.asarray(LABELS)
    negatives = draw_negatives(keys[1], labels), draw_negatives(keys[2], labels)
    pixels = augment(keys[0], jnp.asarray(images()), tiny.data)
    outputs = jax.device_get(
        jax.jit(
            lambda params, stats: vars(
                train_forward(network, tiny, params, stats, pixels, labels, negatives)[0]
            )
        )(state.params, state.stats)
    )
    for i in (1, 2, 3):
        triplet = naive_triplet(outputs["embeddings"][i - 1])
        entropy = naive_cross_entropy(outputs["logits"][i - 1])
        np.testing.assert_allclose(metrics[f"triplet{i}"], triplet, rtol=1e-3)
        np.testing.assert_allclose(metrics[f"cross_entropy{i}"], entropy, rtol=1e-3)
    named = outputs["logits"][0].argmax(1) == LABELS
    assert metrics["accuracy"] == pytest.approx(named.mean())


def test_the_same_steps_twice_are_the_same_bit_for_bit(step: Step, tiny: Config) -> None:
    first, first_metrics = take(step, tiny, [0, 1, 2])
    again, again_metrics = take(step, tiny, [0, 1, 2])
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert first_metrics == again_metrics
    assert int(first.step) == 3


def test_every_parameter_and_statistic_moves(step: Step, tiny: Config) -> None:
    _, _, state = prepare(tiny)
    before = jax.device_get(state)
    after, _ = take(step, tiny, [0])
    for tree in ("params", "stats"):
        old = flatten_dict(getattr(before, tree), sep="/")
        for name, value in flatten_dict(getattr(after, tree), sep="/").items():
            assert (value != old[name]).any(), name
            assert np.isfinite(value).all(), name


def test_the_step_number_decides_the_randomness(step: Step, tiny: Config) -> None:
    _, (first,) = take(step, tiny, [0], start=0)
    _, (later,) = take(step, tiny, [0], start=1)
    assert first["cross_entropy1"] != later["cross_entropy1"]  # another augmentation
