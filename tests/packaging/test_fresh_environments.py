"""Exported files where nothing of this project is installed: what their users have."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.api import Model
from pmm_jax.config import ModelConfig
from pmm_jax.export.crops import Crops, find_crops
from pmm_jax.export.onnx_check import relative_differences
from pmm_jax.export.onnx_file import OnnxOptions, export_onnx
from pmm_jax.export.stablehlo_file import export_stablehlo
from pmm_jax.model.pmm import create_network
from tests.export.test_onnx_graph import random_values

pytestmark = pytest.mark.slow

SIZE = (32, 16)
JAX = """\
import sys
from pathlib import Path
import numpy as np
from jax import export

embed = export.deserialize(bytearray(Path(sys.argv[1]).read_bytes())).call
np.save("embeddings.npy", embed(np.load("images.npy")))
"""
ONNX = """\
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
[embeddings] = session.run(["embedding"], {"images": np.load("images.npy")})
np.save("embeddings.npy", embeddings)
"""
ABSENT = """\
from importlib.util import find_spec
assert not [name for name in ("pmm_jax", "flax", "optax", "PIL") if find_spec(name)]
"""

Install = Callable[..., Path]
"""Packages to the interpreter of a new environment that has them and what they need, no more."""


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Install:
    def make(*packages: str) -> Path:
        root = tmp_path_factory.mktemp("fresh")
        subprocess.run([sys.executable, "-m", "venv", str(root)], check=True, timeout=300)
        python = root / "bin" / "python"
        pinned = ["-c", str(project / "requirements-dev.txt"), *packages]
        words = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install", *pinned]
        words += ["--retries", "1"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=900)
        if done.returncode and "connection broken" in done.stderr:
            pytest.skip("the package index can't be reached")
        assert done.returncode == 0, done.stderr
        return python

    return make


@pytest.fixture(scope="module")
def model() -> Model:
    sizes = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)
    network = create_network(sizes, "pmm", 5)
    return Model("pmm", network, *random_values(network), SIZE)


@pytest.fixture(scope="module")
def crops() -> Crops:
    return Crops(list(find_crops(None, 8).resized(SIZE)), "tests")


def embedded(python: Path, program: str, file: Path, images: np.ndarray) -> np.ndarray:
    """What a program in a folder with nothing else makes of a file and images."""
    np.save(file.with_name("images.npy"), images)
    # -I: no PYTHONPATH, nothing of the user, not the folder.
    words = [str(python), "-I", "-c", ABSENT + program, file.name]
    done = subprocess.run(words, cwd=file.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return np.load(file.with_name("embeddings.npy"))


def test_a_stablehlo_file_needs_jax_and_flatbuffers(
    install: Install, model: Model, crops: Crops, tmp_path: Path
) -> None:
    export_stablehlo(model, tmp_path / "m.stablehlo", crops)
    images = crops.resized(SIZE)
    # jax reads what it has exported by flatbuffers, which it doesn't bring along.
    python = install("jax", "flatbuffers")
    for some in (images, images[:3]):
        found = embedded(python, JAX, tmp_path / "m.stablehlo", some)
        assert found.dtype == np.float32
        assert relative_differences(found, model.embed(some)).max() < 1e-5


def test_an_onnx_file_needs_onnxruntime(
    install: Install, model: Model, crops: Crops, tmp_path: Path
) -> None:
    export_onnx(model, tmp_path / "m.onnx", crops, OnnxOptions())
    images = crops.resized(SIZE)
    found = embedded(install("onnxruntime"), ONNX, tmp_path / "m.onnx", images)
    assert relative_differences(found, model.embed(images)).max() < 1e-5
