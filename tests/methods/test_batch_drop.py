"""BDB's rectangle, against loops."""

import jax
import jax.numpy as jnp
import numpy as np

from pmm_jax.config import Config, DataConfig, MethodConfig
from pmm_jax.methods.bdb import BDB, batch_drop, dropped_rows

LABELS = jnp.asarray([0, 0, 1, 1])


def test_batch_drop_against_loops() -> None:
    feature_map = np.random.default_rng(0).standard_normal((4, 6, 4, 3)).astype(np.float32)
    dropped, mask = batch_drop(jnp.asarray(feature_map), jnp.int32(3), 0.33)
    expected = feature_map.copy()
    expected[:, 3:5] = 0  # round(0.33 * 6) rows
    np.testing.assert_array_equal(dropped, expected)
    np.testing.assert_array_equal(mask, (expected != 0).all(-1))


def test_the_dropped_rows_are_inside_and_everywhere() -> None:
    keys = jax.random.split(jax.random.key(0), 2000)
    method = BDB(Config(DataConfig(image_size=(96, 64)), method=MethodConfig(name="bdb")))
    corners = np.asarray(jax.vmap(lambda key: method.sample(key[None], LABELS))(keys))
    counts = np.bincount(corners)
    assert len(counts) == 5
    assert (abs(counts - 400) < 4 * np.sqrt(400)).all()
    assert (dropped_rows(24, 0.33), dropped_rows(1, 0.33)) == (8, 1)
