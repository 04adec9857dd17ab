"""Several devices share the gallery, and the ranking stays the same to the last bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.evaluation import Embeddings, evaluate_embeddings

SCRIPT = """
import sys
import jax
import numpy as np
from pmm_jax.evaluation import evaluate_embeddings, load_features, streaming
streaming.GALLERY_BLOCK = 32
assert jax.local_device_count() == int(sys.argv[1])
metrics = evaluate_embeddings(*load_features(sys.argv[2]), query_block=50)
np.save(sys.argv[3], metrics.average_precision)
"""


@pytest.mark.parametrize("devices", [3, 4])
def test_devices_share_the_gallery(devices: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((10, 64))
    arrays, sides = {}, []
    for side, count in (("query", 70), ("gallery", 450)):
        ids = rng.integers(-1, 9, count)
        features = centers[ids] + 2 * rng.standard_normal((count, 64))
        features[count // 2 :] = features[: count - count // 2]  # ties across devices
        sides.append(Embeddings(features.astype(np.float32), ids, rng.integers(0, 3, count)))
        arrays[f"{side}_features"] = sides[-1].features
        arrays[f"{side}_ids"], arrays[f"{side}_cameras"] = ids, sides[-1].cameras
    np.savez(tmp_path / "features.npz", allow_pickle=False, **arrays)
    found = tmp_path / "found.npy"
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "PYTHONPATH": str(root),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(devices), str(tmp_path / "features.npz"), str(found)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = evaluate_embeddings(sides[0], sides[1]).average_precision
    assert np.nanmean(expected) < 0.9
    np.testing.assert_array_equal(np.load(found), expected)
