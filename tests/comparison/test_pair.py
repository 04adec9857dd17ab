"""Our step against the PyTorch baseline's."""

from collections.abc import Iterator
from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

torch = pytest.importorskip("torch", reason="the baseline is PyTorch (requirements-torch.txt)")

from pmm_jax.comparison.pair import Pair, Precision, normalized  # noqa: E402
from pmm_jax.comparison.paired_step import PairedStep  # noqa: E402
from pmm_jax.config import (  # noqa: E402
    Config,
    DataConfig,
    MethodConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from pmm_jax.data.loading import Batch  # noqa: E402
from pmm_jax.inference import make_embed  # noqa: E402
from pmm_jax.methods import create_model  # noqa: E402
from pmm_jax.torch_baseline.embed import embed  # noqa: E402
from pmm_jax.torch_baseline.model import PMM  # noqa: E402
from pmm_jax.training.state import TrainState  # noqa: E402
from pmm_jax.training.train_step import TrainTask, compute_gradients  # noqa: E402

IDENTITIES = 12
CONFIG = Config(
    data=DataConfig(image_size=(96, 64), identities_per_batch=4, crop_padding=4, erase_size=16),
    model=ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=64, weights="scratch"),
    method=MethodConfig(top_k=2, block=(3, 2)),
    optim=OptimConfig(),  # the release's schedule: 1e-4 in these steps
    train=TrainConfig(epochs=400),
)


def batches(count: int) -> Iterator[Batch]:
    """Each identity has a picture of its own; its images differ from it by noise."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (IDENTITIES, 96, 64, 3))
    for _ in range(count):
        labels = np.repeat(rng.choice(IDENTITIES, 4, replace=False), 4).astype(np.int32)
        noise = rng.integers(-60, 60, (16, 96, 64, 3))
        yield Batch(np.clip(pictures[labels] + noise, 0, 255).astype(np.uint8), labels)


def trained(
    count: int, precision: Precision, config: Config = CONFIG, reuse_masks: bool = False
) -> tuple[Pair, list]:
    pair = Pair(config, IDENTITIES, 3, precision, reuse_masks)
    return pair, list(pair.run(batches(count)))


def largest(steps: list[PairedStep]) -> float:
    return max(step.difference for step in steps)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_fifty_steps_agree_in_float64() -> None:
    _, steps = trained(50, "float64")
    assert len(steps) == 50
    assert largest(steps) < 1e-6


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_cumulative_variant_agrees() -> None:
    method = MethodConfig(top_k=2, block=(3, 2), cumulative=True)
    _, steps = trained(5, "float64", Config(CONFIG.data, CONFIG.model, method))
    assert largest(steps) < 1e-6


@pytest.mark.usefixtures("x64")
def test_weights_statistics_and_embeddings_agree_after_two_steps() -> None:
    from pmm_jax.model.torch_checkpoint import state_dict

    pair, _ = trained(2, "float64")
    ours = state_dict(pair.state.params, pair.state.batch_stats)
    baseline = pair.baseline.state_dict()
    assert list(ours) == list(baseline)  # the order too
    for name, value in baseline.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(ours[name], value.numpy(), rtol=1e-6, atol=1e-9)
    images = next(batches(1)).images
    for flip_average in (False, True):
        embeddings = make_embed(pair.network, flip_average)(
            pair.state.params, pair.state.batch_stats, jax.numpy.asarray(images)
        )
        theirs = embed(pair.baseline, normalized([(images, 16)]), flip_average)
        np.testing.assert_allclose(embeddings, theirs, rtol=1e-4, atol=1e-5)


def test_the_releases_way_to_the_cam_gives_the_same_gradients() -> None:
    from pmm_jax.torch_baseline.step import adam, train_step

    images = torch.randn(16, 3, 96, 64, dtype=torch.float64, generator=torch.manual_seed(0))
    labels = torch.arange(4).repeat_interleave(4)
    images_of_others = torch.arange(16)
    negatives = images_of_others.roll(4), images_of_others.roll(8)
    states = []
    for cam in ("head", "released"):
        torch.manual_seed(1)
        model = PMM(CONFIG.model, CONFIG.method, IDENTITIES, cam).double().train()
        losses, _ = train_step(model, adam(model, CONFIG.optim), 1e-4, images, labels, negatives)
        states.append([*model.state_dict().values(), torch.tensor(list(losses.values()))])
    for one, other in zip(*states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_both_get_the_same_augmented_batch() -> None:
    """A step's difference at equal weights is rounding alone."""
    _, steps = trained(1, "float32")
    assert largest(steps) < 1e-4
    assert steps[0].other_blocks == 0


@pytest.mark.slow
def test_ten_steps_agree_in_float32_where_both_replace_the_same_blocks() -> None:
    """Left to themselves, a rounding decides sooner or later which block ranks higher."""
    _, steps = trained(10, "float32", reuse_masks=True)
    assert len(steps) == 10
    assert largest(steps) < 1e-3


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_float32_gradients_are_as_near_to_float64_as_pytorchs() -> None:
    """Neither side is the noisy one: where float32 runs part, it is the rounding of both."""
    from pmm_jax.model.torch_checkpoint import state_dict

    pair = Pair(CONFIG, IDENTITIES, 3, "float32")
    batch = next(batches(1))
    labels = jax.numpy.asarray(batch.labels)
    sampled = pair.sample(0, batch.images, labels)

    def ours(dtype: str) -> dict[str, np.ndarray]:
        params, stats = jax.tree.map(
            lambda x: x.astype(dtype), (pair.state.params, pair.state.batch_stats)
        )
        network = create_model(CONFIG, IDENTITIES, jax.numpy.dtype(dtype))
        network = network._replace(compute_dtype=jax.numpy.dtype(dtype))
        task = TrainTask(network, CONFIG, optax.identity())
        state = TrainState.create(params, stats, task.tx)
        rounded = replace(sampled, images=sampled.images.astype(dtype))
        gradient, *_ = compute_gradients(task, state, rounded)
        return state_dict(gradient, {})

    exact, rounded = ours("float64"), ours("float32")
    list(pair.run([batch]))  # leaves PyTorch's gradients in its parameters
    errors = []
    for name, parameter in pair.baseline.named_parameters():
        assert parameter.grad is not None
        size = np.linalg.norm(exact[name])
        if size > 1e-9:  # the others are zero in exact arithmetic
            both = rounded[name], parameter.grad.numpy()
            errors.append([np.linalg.norm(value - exact[name]) / size for value in both])
    assert len(errors) > 50
    of_ours, of_pytorch = np.median(errors, axis=0)
    assert 0 < of_ours < 2 * of_pytorch
    assert of_pytorch < 1e-4
