"""What each stage sees, what it makes of it, and which statistics move."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from pmm_jax.config import Config, MethodConfig
from pmm_jax.methods import create_model
from pmm_jax.model.pmm import Tree, embed
from tests.training.naive_forward import (
    IDS,
    NEGATIVES,
    Forward,
    N,
    forward,
    images,
    naive_cam,
    naive_head,
    naive_mix,
    pool,
    random_model,
)


@pytest.fixture(scope="module")
def released(tiny: Config) -> Forward:
    return forward(tiny)


@pytest.fixture(scope="module")
def cumulative(tiny: Config) -> Forward:
    return forward(replace(tiny, method=replace(tiny.method, cumulative=True, top_k=3)))


@pytest.fixture(params=["released", "cumulative"])
def either(request: pytest.FixtureRequest) -> Forward:
    return request.getfixturevalue(request.param)


def test_cams_against_finite_differences(either: Forward) -> None:
    for stage in (1, 2):
        expected = naive_cam(stage, either["inputs"][stage - 1], either["params"][f"stage{stage}"])
        found = either["cams"][stage - 1]
        assert (expected > 0).mean() > 0.2
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * expected.max())


def test_stage_2_sees_the_part_map_mixed_by_the_first_cam(either: Forward) -> None:
    part_map, method = either["part_map"], either["config"].method
    expected = naive_mix(either["cams"][0], part_map, part_map, NEGATIVES[0], method)
    assert (expected != part_map).any((1, 2, 3)).all()
    np.testing.assert_allclose(either["inputs"][1], expected, rtol=1e-9, atol=1e-12)


def test_stage_3_sees_the_clean_map_mixed_by_the_second_cam(released: Forward) -> None:
    part_map, method = released["part_map"], released["config"].method
    expected = naive_mix(released["cams"][1], part_map, part_map, NEGATIVES[1], method)
    np.testing.assert_allclose(released["inputs"][2], expected, rtol=1e-9, atol=1e-12)


def test_cumulative_starts_stage_3_from_the_mixed_map(cumulative: Forward) -> None:
    mixed2, method = cumulative["inputs"][1], cumulative["config"].method
    expected = naive_mix(cumulative["cams"][1], mixed2, mixed2, NEGATIVES[1], method)
    np.testing.assert_allclose(cumulative["inputs"][2], expected, rtol=1e-9, atol=1e-12)


def test_top_k_blocks_are_replaced(released: Forward, cumulative: Forward) -> None:
    for run, top_k in ((released, 2), (cumulative, 3)):
        for mask in run["masks"]:
            assert ((~mask).sum((1, 2)) == top_k * 2).all()  # blocks of 2 x 1 cells


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
        network, params, stats = random_model(tiny)
        pixels = images() / 128.0 - 1

        def run(pixels: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            def part(name: str, x: jax.Array) -> Any:
                variables = {"params": params[name], "batch_stats": stats[name]}
                return network.modules[name].apply(variables, x, False)

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
    assert list(create_model(config, IDS).modules) == ["trunk", "stage1"]
    run = forward(config)
    assert [len(run[name]) for name in ("embeddings", "logits", "inputs")] == [1, 1, 1]
    assert run["cams"] == run["masks"] == ()
    assert set(run["moved"]) == {"trunk", "stage1"}
