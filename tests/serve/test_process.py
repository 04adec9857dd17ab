"""`pmm serve` as a process of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")

import httpx2

from pmm_jax.api import Model
from pmm_jax.config import Config, DataConfig, MethodConfig, ModelConfig
from pmm_jax.export.model_file import export_model
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params
from pmm_jax.model_file import ModelInfo
from tests.serve.toys import COUNT, encoded, pictures, toy_gallery

pytestmark = pytest.mark.slow

CONFIG = Config(
    data=DataConfig(image_size=(64, 32), erase_size=16),
    model=ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16),
    method=MethodConfig(top_k=2, block=(2, 1)),
)
TOKEN = "0123456789abcdef"
HOOKS = """\
import io

import schemathesis
from hypothesis import strategies as st
from PIL import Image


def encoded(kind, width, height):
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 60)).save(stream, kind)
    return stream.getvalue()


KINDS = st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"])
IMAGES = st.builds(encoded, KINDS, st.integers(1, 64), st.integers(1, 64))
SIGNS = st.sampled_from(["=", "!=", "<", ">="])
CONDITIONS = st.builds(
    "{} {} {}".format, st.sampled_from(["id", "camera"]), SIGNS, st.integers(-9, 9)
)
schemathesis.openapi.media_type("image/*", IMAGES)
schemathesis.openapi.format("condition", CONDITIONS)


@schemathesis.hook
def before_call(context, case, kwargs):
    # Meant to be refused; but over the wire an empty list is no field at all, which is sound.
    if isinstance(case.body, dict):
        case.body.update({name: ["", ""] for name, value in case.body.items() if value == []})
"""
"""For schemathesis: images and conditions that are sound, which no schema can describe."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A gallery that knows its model, which is a file."""
    folder = tmp_path_factory.mktemp("served")
    network = create_model(CONFIG, 5)
    info = ModelInfo(CONFIG, 1, None, {}, {})
    model = Model("pmm", network, *init_params(network, 0), (64, 32), info)
    export_model(model, folder / "m.safetensors")
    return toy_gallery(model, folder, str(folder / "m.safetensors")).info().address


class Process(NamedTuple):
    """A server in a process, and where it is."""

    process: subprocess.Popen[str]
    url: str

    def end(self, number: int) -> tuple[int, str, str]:
        """Exit code, output and errors after a signal."""
        self.process.send_signal(number)
        out, error = self.process.communicate(timeout=60)
        return self.process.returncode, out, error


@contextlib.contextmanager
def serving(project: Path, address: str, port: str = "0", token: str = "") -> Iterator[Process]:
    words = [sys.executable, "-m", "pmm_jax", "serve", address, "--port", port]
    environment = {**os.environ} | ({"PMM_TOKEN": token} if token else {})
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, cwd=project, env=environment, text=True, stdout=pipe, stderr=pipe
    ) as process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(2)]
            assert said[0] == "compiling and reading the gallery\n", process.communicate()
            assert said[1].startswith(f"{COUNT} images at http://127.0.0.1:"), said
            yield Process(process, said[1].split()[3].rstrip("/"))
        finally:
            process.kill()


@pytest.fixture
def server(project: Path, address: str) -> Iterator[Process]:
    with serving(project, address) as server:
        yield server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_when_all_are_answered(
    project: Path, server: Process, address: str, number: int
) -> None:
    files = [{"image": encoded(image)} for image in pictures(64)]
    with ThreadPoolExecutor(64) as threads, httpx2.Client(timeout=60) as client:
        asked = [
            threads.submit(client.post, f"{server.url}/api/search", files=one) for one in files
        ]
        while not any(one.done() for one in asked):
            time.sleep(0.001)
        assert server.end(number) == (0, "ended\n", "")
        answers = [one.exception() or one.result() for one in asked]
    # Who came too late found nobody; all others have their answers.
    statuses = {one.status_code for one in answers if isinstance(one, httpx2.Response)}
    assert statuses == {200}
    late = [one for one in answers if not isinstance(one, httpx2.Response)]
    assert all(isinstance(one, httpx2.ConnectError | httpx2.ReadError) for one in late)
    with serving(project, address, server.url.rpartition(":")[2]):  # the port is free
        pass


def test_a_thousand_requests_of_which_many_are_broken(server: Process) -> None:
    image = encoded(pictures(1)[0])
    kinds: list[dict[str, Any]] = [
        {"files": {"image": image}, "data": {"top": 3}},
        {"files": {"image": image[:100]}},
        {"files": {"image": image}, "data": {"where": "nonsense"}},
        {"content": b"\0" * 1000},
        {"files": {"image": image}, "data": {"top": "x"}},
    ]
    limits = httpx2.Limits(max_connections=100)
    with ThreadPoolExecutor(100) as threads, httpx2.Client(timeout=60, limits=limits) as client:

        def ask(number: int) -> int:
            words = kinds[number % len(kinds)]
            return client.post(f"{server.url}/api/search", **words).status_code

        statuses = list(threads.map(ask, range(1000)))
    expected = [200, 400, 400, 415, 400]
    assert statuses == [expected[number % len(kinds)] for number in range(1000)]
    assert server.end(signal.SIGTERM) == (0, "ended\n", "")


@pytest.fixture(scope="module")
def schemathesis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in an environment of its own: it is no dependency of ours."""
    root = tmp_path_factory.mktemp("schema")
    subprocess.run([sys.executable, "-m", "venv", str(root)], check=True, timeout=300)
    words = ["-m", "pip", "--disable-pip-version-check", "-q", "install", "schemathesis", "pillow"]
    done = subprocess.run(
        [str(root / "bin/python"), *words], capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        pytest.skip("the package index can't be reached")
    return root / "bin" / "schemathesis"


@pytest.mark.parametrize("token", ["", TOKEN])
def test_schemathesis_finds_nothing(
    project: Path, address: str, schemathesis: Path, tmp_path: Path, token: str
) -> None:
    (tmp_path / "hooks.py").write_text(HOOKS)
    key = {"Authorization": f"Bearer {token}"} if token else {}
    header = [word for name, value in key.items() for word in ("--header", f"{name}: {value}")]
    with serving(project, address, token=token) as server:
        # So that some rows are known.
        assert httpx2.get(f"{server.url}/api/images", headers=key).json()["count"] == COUNT
        words = ["run", f"{server.url}/openapi.json", "--checks", "all", "--max-examples", "50"]
        done = subprocess.run(
            [str(schemathesis), *words, "--seed", "1", *header],
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-5000:]
        assert "No issues found" in done.stdout
        assert server.end(signal.SIGTERM) == (0, "ended\n", "")
