"""BDB's forward, step and checkpoint against a PyTorch version."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the baseline is PyTorch (requirements-torch.txt)")

from pmm_jax.comparison.pair import normalized, torch_weights  # noqa: E402
from pmm_jax.config import MethodConfig  # noqa: E402
from pmm_jax.inference import make_embed  # noqa: E402
from pmm_jax.methods import create_model  # noqa: E402
from pmm_jax.model.torch_checkpoint import load_state_dict, state_dict  # noqa: E402
from pmm_jax.torch_baseline.bdb import BDB  # noqa: E402
from pmm_jax.torch_baseline.embed import embed  # noqa: E402
from pmm_jax.torch_baseline.step import adam as torch_adam  # noqa: E402
from pmm_jax.torch_baseline.step import train_step  # noqa: E402
from pmm_jax.training.initial import create_train_state  # noqa: E402
from pmm_jax.training.optimizer import make_optimizer  # noqa: E402
from pmm_jax.training.train_step import TrainTask, sample_batch  # noqa: E402
from pmm_jax.training.train_step import train_step as our_step  # noqa: E402
from tests.comparison.test_pair import CONFIG, IDENTITIES, batches  # noqa: E402

RATE = 1e-4
BDB_CONFIG = replace(CONFIG, method=MethodConfig(name="bdb"))


def train_both(steps: int) -> tuple:
    """Both after some steps in float64, and the largest relative difference of a loss."""
    network = create_model(BDB_CONFIG, IDENTITIES, jnp.dtype("float64"))
    network = network._replace(compute_dtype=jnp.dtype("float64"))
    transform = make_optimizer(BDB_CONFIG.optim, lambda _: RATE)
    task = TrainTask(network, BDB_CONFIG, transform)
    state = jax.device_put(create_train_state(task))
    model = BDB(BDB_CONFIG.model, BDB_CONFIG.method, IDENTITIES).double()
    model.load_state_dict(torch_weights(state.params, state.batch_stats))
    model.train()
    optimizer = torch_adam(model, BDB_CONFIG.optim)
    take = jax.jit(partial(our_step, task))
    largest, rows = 0.0, set()
    for number, batch in enumerate(batches(steps)):
        labels = jnp.asarray(batch.labels)
        key = jax.random.fold_in(jax.random.key(0), number)
        sampled = sample_batch(task, key, jnp.asarray(batch.images), labels)
        sampled = replace(sampled, images=sampled.images.astype("float64"))
        row = int(np.asarray(sampled.sample))
        rows.add(row)
        state, metrics = take(state, sampled)
        pixels = torch.from_numpy(np.array(sampled.images)).permute(0, 3, 1, 2).contiguous()
        same = torch.from_numpy(batch.labels.astype(np.int64))
        losses, _ = train_step(model, optimizer, RATE, pixels, same, row)
        assert set(losses) < set(metrics)
        for name, value in losses.items():
            largest = max(largest, abs(float(metrics[name]) - value) / abs(value))
    return network, state, model, largest, rows


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_fifty_steps_agree_in_float64() -> None:
    _, _, _, largest, rows = train_both(50)
    assert largest < 1e-6
    assert rows == {0, 1, 2, 3, 4}  # of a map of 6 rows, two are dropped


@pytest.mark.usefixtures("x64")
def test_weights_statistics_and_embeddings_agree_after_two_steps() -> None:
    network, state, model, _, _ = train_both(2)
    ours, theirs = state_dict(state.params, state.batch_stats), model.state_dict()
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(ours[name], value.numpy(), rtol=1e-6, atol=1e-9)
    images = next(batches(1)).images
    found = make_embed(network)(state.params, state.batch_stats, jnp.asarray(images))
    assert found.shape == (16, 3 * BDB_CONFIG.model.embedding_size)
    expected = embed(model, normalized([(images, 16)]), False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_goes_there_and_back_exactly() -> None:
    torch.manual_seed(3)
    model = BDB(BDB_CONFIG.model, BDB_CONFIG.method, IDENTITIES)
    with torch.no_grad():
        for statistic in model.buffers():
            if statistic.ndim:
                statistic += torch.rand_like(statistic)
    saved = {f"module.{name}": value.numpy() for name, value in model.state_dict().items()}
    loaded = load_state_dict("saved", saved)
    assert (loaded.kind, loaded.num_ids) == ("bdb", IDENTITIES)
    back = state_dict(loaded.params, loaded.batch_stats)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(back[name], value.numpy())
