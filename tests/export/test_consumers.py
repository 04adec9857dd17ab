"""Consumers' real code on the files that their presets write.

Each consumer has an environment of its own, kept in pytest's cache, 4 GB in all; where its packages
can't be installed, its test is skipped. On a machine whose package index has PyTorch with CUDA
alone, `PIP_EXTRA_INDEX_URL` or `PIP_FIND_LINKS` name one for the CPU.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pmm_jax.api import Model
from pmm_jax.config import ModelConfig
from pmm_jax.export.crops import Crops, find_crops
from pmm_jax.export.onnx_check import reference, relative_differences
from pmm_jax.export.onnx_file import OnnxOptions, export_onnx
from pmm_jax.model.pmm import create_network
from tests.export.test_onnx_graph import random_values

SIZE = (64, 32)
SQUARE = (64, 64)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
INSTALL_SECONDS, RUN_SECONDS = 1800, 300
OFFLINE = {"PIP_NO_INDEX": "1", "YOLO_AUTOINSTALL": "false", "HF_HUB_OFFLINE": "1"}
"""BoxMOT and ultralytics install what they miss while they run."""


class Answer(NamedTuple):
    """What a consumer printed."""

    inputs: np.ndarray
    """(N, 3, h, w): what it fed to the graph."""
    features: np.ndarray
    """(N, D)."""


@pytest.fixture(scope="module")
def model() -> Model:
    sizes = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)
    network = create_network(sizes, "pmm", 5)
    return Model("pmm", network, *random_values(network), SIZE)


def environment(cache: pytest.Cache, project: Path, packages: list[str]) -> Path:
    """The python of an environment with these packages; without one the test is skipped."""
    pins = project / "requirements-torch.txt"
    key = hashlib.sha256("\n".join([sys.version, *packages, pins.read_text()]).encode())
    folder = cache.mkdir("consumers") / key.hexdigest()[:12]
    python, whole = folder / "bin/python", folder / "whole"
    if whole.exists():
        return python
    venv.create(folder, clear=True, with_pip=True)
    install = [str(python), "-m", "pip", "install", "-q", "--constraint", str(pins), *packages]
    try:
        done = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{packages[0]} took more than {INSTALL_SECONDS} s to install")
    if done.returncode:
        shutil.rmtree(folder)
        pytest.skip(f"{packages[0]} can't be installed: {done.stderr.strip().splitlines()[-1]}")
    whole.touch()
    return python


class Consumer(NamedTuple):
    """Runs a program of tests/export/consumers in its environment."""

    cache: pytest.Cache
    project: Path
    folder: Path

    def run(
        self, program: str, packages: list[str], frame: np.ndarray, boxes: list[list[int]]
    ) -> Answer:
        """Its answer on the file in the folder, for a frame (H, W, 3) uint8 RGB."""
        python = environment(self.cache, self.project, packages)
        np.save(self.folder / "frame.npy", frame[..., ::-1])
        names = [package.partition("=")[0] for package in packages]
        command = [str(python), "-m", f"tests.export.consumers.{program}"]
        command += [str(self.folder / name) for name in ("model.onnx", "frame.npy")]
        command += [json.dumps(boxes), *names]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            cwd=self.project,
            # What it writes of its own settings is the test's.
            env={**os.environ, **OFFLINE, "HOME": str(self.folder)},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads(done.stdout.splitlines()[-1])
        print(found["versions"])
        return Answer(np.array(found["inputs"]), np.array(found["features"]))


@pytest.fixture
def consumer(request: pytest.FixtureRequest, project: Path, tmp_path: Path) -> Consumer:
    assert request.config.cache is not None
    return Consumer(request.config.cache, project, tmp_path)


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    """(8, 64, 32, 3) uint8."""
    return find_crops(None, 8).resized(SIZE)


def write(model: Model, folder: Path, preset: str, people: np.ndarray) -> None:
    export_onnx(model, folder / "model.onnx", Crops(list(people), "tests"), OnnxOptions(preset))


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.mark.slow
def test_boxmot_embeds_boxes_as_the_model_does(
    model: Model, consumer: Consumer, people: np.ndarray
) -> None:
    write(model, consumer.folder, "boxmot", people)
    frame = np.concatenate(list(people), axis=1)
    # Two boxes of the model's size; one that BoxMOT enlarges, one that it shrinks.
    boxes = [[32, 0, 64, 64], [96, 0, 128, 64], [130, 5, 150, 60], [64, 0, 128, 64]]
    packages = ["boxmot==25.*", "onnxruntime==1.24.3", "torch"]
    found = consumer.run("boxmot_backend", packages, frame, boxes)
    pixels = found.inputs.transpose(0, 2, 3, 1) * STD + MEAN
    np.testing.assert_allclose(pixels[:2], people[[1, 3]] / 255, atol=1e-6)
    images = np.rint(255 * pixels).astype(np.uint8)
    np.testing.assert_allclose(found.features, unit(model.embed(images)), atol=2e-6)


@pytest.mark.slow
def test_ultralytics_embeds_boxes_as_the_model_does(
    model: Model, consumer: Consumer, people: np.ndarray
) -> None:
    write(model, consumer.folder, "ultralytics", people)
    frame = np.concatenate([people[0], people[1]], axis=1)
    # All of the frame, which is a square already, and a person in it.
    boxes = [[0, 0, 64, 64], [20, 10, 40, 50]]
    packages = ["ultralytics==8.4.*", "lap", "onnxruntime", "torch"]
    found = consumer.run("ultralytics_encoder", packages, frame, boxes)
    squares = 255 * found.inputs.transpose(0, 2, 3, 1)
    assert squares.shape[1:3] == SQUARE
    np.testing.assert_allclose(squares[0], frame, atol=1e-4)
    weights = model.network, model.params, model.batch_stats
    expected = reference(*weights, squares.astype(np.float32), SIZE)
    assert relative_differences(found.features, expected).max() < 1e-5


@pytest.mark.slow
def test_openvino_embeds_crops_as_the_model_does(
    model: Model, consumer: Consumer, people: np.ndarray
) -> None:
    write(model, consumer.folder, "openvino", people)
    boxes = [[32 * i, 0, 32 * i + 32, 64] for i in range(8)]
    frame = np.concatenate(list(people), axis=1)
    found = consumer.run("openvino_runtime", ["openvino"], frame, boxes)
    assert relative_differences(found.features, model.embed(people)).max() < 1e-5
