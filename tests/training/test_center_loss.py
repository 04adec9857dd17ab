"""Center loss against reid-strong-baseline's definition (Wen et al., 2016; Luo et al., 2019)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from pmm_jax.config import Config, MethodConfig, ModelConfig
from pmm_jax.methods import TrainBatch
from pmm_jax.model.heads import StageHead
from pmm_jax.model.pmm import Network
from pmm_jax.model.resnet import ResNet
from pmm_jax.training.initial import create_train_state
from pmm_jax.training.losses import center_loss, move_centers
from pmm_jax.training.optimizer import make_optimizer
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import Metrics, TrainTask, compute_gradients, train_step
from pmm_jax.workdir.checkpoint import Checkpoints

LABELS = np.array([0, 0, 1, 1, 1, 3])


def test_loss_and_step_against_their_definition(x64: None) -> None:
    """All distances, and all but those from an image's own center masked: the published code."""
    rng = np.random.default_rng(0)
    x, centers = rng.standard_normal((6, 5)), rng.standard_normal((4, 5))
    distances = ((x[:, None] - centers[None]) ** 2).sum(2)
    mask = LABELS[:, None] == np.arange(4)[None]
    expected = (distances * mask).sum() / len(x)
    np.testing.assert_allclose(center_loss(*map(jnp.asarray, (x, LABELS, centers))), expected)
    moved = centers.copy()
    for n, label in enumerate(LABELS):
        # PyTorch's SGD at 0.5 on a gradient that is divided by the loss's weight.
        moved[label] -= 0.5 * 2 * (centers[label] - x[n]) / len(x)
    found = jax.jit(move_centers)(x, LABELS, centers)
    np.testing.assert_allclose(found, moved, rtol=1e-12)
    np.testing.assert_array_equal(found[2], centers[2])  # nobody in the batch


def test_a_step_adds_it_and_a_checkpoint_holds_the_centers(tmp_path: Path) -> None:
    config = Config(
        model=ModelConfig(weights="scratch"),
        method=MethodConfig(name="baseline", center_loss=0.5),
    )
    modules: dict[str, nn.Module] = {
        "trunk": ResNet((1,), 1 / 8),  # layer1 alone, which is quickly compiled
        "stage1": StageHead(4, "average", 8),
    }
    tx = make_optimizer(config.optim, lambda _: jnp.float32(1e-3))
    task = TrainTask(Network(modules, 32, jnp.dtype("float32")), config, tx)
    state = create_train_state(task)
    pixels = np.random.default_rng(0).standard_normal((8, 16, 16, 3)).astype(np.float32)
    batch = TrainBatch(jnp.asarray(pixels), jnp.arange(8) // 2)

    def step(state: TrainState, batch: TrainBatch) -> tuple[TrainState, Metrics, jax.Array]:
        outputs = compute_gradients(task, state, batch)[3]
        return *train_step(task, state, batch), outputs.embeddings[0]

    after, metrics, embeddings = jax.jit(step)(state, batch)
    assert state.centers is not None
    assert after.centers is not None
    (centers,), labels = state.centers, np.arange(8) // 2
    assert centers.shape == (4, 8)
    own = np.square(np.asarray(embeddings) - np.asarray(centers)[labels]).sum(1).mean()
    np.testing.assert_allclose(metrics["center1"], own, rtol=1e-4)
    total = metrics["triplet1"] + metrics["cross_entropy1"] + 0.5 * own
    np.testing.assert_allclose(metrics["loss"], total, rtol=1e-4)
    expected = move_centers(embeddings, jnp.asarray(labels), centers)
    np.testing.assert_allclose(after.centers[0], expected, rtol=1e-4, atol=1e-6)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, after)
        found = checkpoints.restore(1, state)
    assert found.centers is not None
    np.testing.assert_array_equal(found.centers[0], after.centers[0])
