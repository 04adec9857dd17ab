"""The page for a person with a GPU, at toy size on a CPU."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from benchmarks import gpu
from benchmarks.gpu import ORDER, guarded, paper_config, section, step_rows
from benchmarks.gpu_page import page
from benchmarks.gpu_sections import IDENTITIES, SECTIONS, kernel_seconds
from pmm_jax.comparison.one_step import step_program
from pmm_jax.config import Config
from pmm_jax.runtime import override_platform
from tests.training.test_program import CONVOLUTIONS, of_type, shapes

NEEDLESS = (
    *("grain", "tensorflow_datasets", "tyro", "array_record", "tensorboardX", "h5py"),
    *("safetensors", "huggingface_hub", "sklearn", "pyarrow", "jinja2", "matplotlib", "torch"),
)
"""Nothing but jax, flax, optax, orbax, numpy, pillow and what they bring may be imported."""


def without(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Environment of processes, children included, in which these can't be imported."""
    lines = ["import sys", f"sys.modules.update(dict.fromkeys({names!r}))"]
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_it_imports_no_more_than_a_gpu_machine_has(project: Path, tmp_path: Path) -> None:
    modules = "benchmarks.gpu, benchmarks.program, pmm_jax.comparison.parity, pmm_jax.inference"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; assert sys.modules['tyro'] is None"],
        cwd=project, env=without(tmp_path, NEEDLESS), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_section_that_fails_says_why_and_the_others_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(name: str, config: Config) -> dict[str, Any]:
        if name == "parity":
            raise RuntimeError("no golden file | here")
        return {"images": 3, "seconds": 1.5, "images_per_second": 2.0}

    monkeypatch.setattr(gpu, "section", one)
    options = argparse.Namespace(toy=True, out=tmp_path)
    gpu.measure(paper_config(toy=True), ["parity", "embedding"], options)
    found = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert found["parity"]["failed"] == "no golden file | here"
    assert found["embedding"]["images"] == 3
    text = (tmp_path / "gpu.md").read_text()
    assert "Failed: no golden file" in text
    assert "3 decoded images in 1.50 s: 2 a second" in text


def test_a_process_that_ends_with_an_error_is_a_failed_section() -> None:
    found = guarded(lambda: section("nothing", paper_config(toy=True)))
    assert found == {"failed": "KeyError: 'nothing'"}


def test_shares_of_peak_are_by_the_rows_own_precision() -> None:
    row = {"seconds": 0.01, "images_per_second": 6400, "peak_memory_bytes": 2e9}
    rates = {"float32": 8e14, "exact float32": 5e13, "bfloat16": 1e15}
    found = {
        "device": {"device": "x", "platform": "gpu", "jax": "0", "matmul_flop_per_second": rates},
        "flop": {"flop": 1e12},
        "steps": {"rows": {n: {**row, "precision": n} for n in ("float32", "exact float32")}},
    }
    text = page({"sections": found})
    assert "| float32 | 10.00 | 6400 | - | 12% | 2.00 |" in text
    assert "| exact float32 | 10.00 | 6400 | - | 200% | 2.00 |" in text


def test_kernels_are_those_of_the_device() -> None:
    def line(name: str, *events: tuple[str, int]) -> Any:
        made = [SimpleNamespace(name=n, duration_ns=d, stats=()) for n, d in events]
        return SimpleNamespace(name=name, events=made)

    planes = [
        SimpleNamespace(name="/host:CPU", lines=[line("python", ("call", 10**9))]),
        SimpleNamespace(
            name="/device:GPU:0",
            lines=[
                line("Stream #7(Compute)", ("conv", 3000), ("add", 500), ("conv", 1000)),
                line("Steps", ("0", 9000)),
            ],
        ),
    ]
    spent, launches = kernel_seconds(SimpleNamespace(planes=planes))
    assert spent == pytest.approx({"conv": 4e-6, "add": 5e-7})
    assert launches == {"conv": 2, "add": 1}


@pytest.mark.slow
@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
def test_its_step_for_a_gpu_is_stock_and_stays_there(tiny: Config, compute_dtype: str) -> None:
    with override_platform("gpu"):
        step, state, batch = step_program(of_type(tiny, compute_dtype), IDENTITIES)
        text = jax.export.export(step, platforms=["cuda"])(*shapes((state, batch))).mlir_module()
    assert len(re.findall(r"stablehlo\.convolution", text)) == 3 * CONVOLUTIONS - 1
    assert ("bf16" in text) == (compute_dtype == "bfloat16")
    assert "f64" not in text
    assert not re.findall(r"callback|infeed|outfeed|stablehlo\.(?:send|recv)\b", text)


@pytest.mark.slow
def test_the_toy_runs_every_section(project: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--toy", "--rounds", "2", "--out", str(tmp_path)],
        cwd=project, env=without(tmp_path, NEEDLESS), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert tuple(found) == ORDER
    assert set(ORDER) == {*SECTIONS, "steps"}
    assert not [name for name, one in found.items() if "failed" in one], done.stderr
    assert found["parity"]["agrees"]
    rows = found["steps"]["rows"]
    # torch can't be imported there.
    assert list(rows) == [name for name in step_rows(Config()) if name.startswith("pmm_jax")]
    assert all(0 < row["fastest"] <= row["seconds"] for row in rows.values())
    assert len(found["feeding"]["rows"]) == 4
    jitted, sparse = (found["ranking"]["rows"][name]["mAP"] for name in list(
        found["ranking"]["rows"])[1:])  # fmt: skip
    assert jitted == pytest.approx(sparse, abs=1e-6)
    assert len(found["profile"]["kernels"]) == 10
    assert (tmp_path / "gpu.md").read_text() in done.stdout
