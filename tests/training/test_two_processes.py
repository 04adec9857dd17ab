"""train.py and eval.py in two processes, as on two hosts: one run, stopped and gone on with."""

import json
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pmm_jax.config import Config
from pmm_jax.workdir.run_log import read_metrics
from pmm_jax.workdir.sessions import read_sessions
from tests.training.programs import command

pytestmark = pytest.mark.slow


def run_processes(
    commands: list[list[str]], devices: int, project: Path
) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of processes that are told of each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
    }
    started = [
        subprocess.Popen(
            [
                *words,
                *("--coordinator", address),
                *("--processes", str(len(commands))),
                *("--process", str(i)),
            ],
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, words in enumerate(commands)
    ]
    results = [(*process.communicate(timeout=400), process) for process in started]
    return [(process.returncode, without_gloo(output), error) for output, error, process in results]


def without_gloo(output: str) -> str:
    """Between processes on CPUs, gloo tells standard output of its connections."""
    return "".join(line for line in output.splitlines(True) if not line.startswith("[Gloo]"))


@pytest.fixture(scope="module")
def shared(tiny: Config) -> Config:
    """`tiny` with the same negatives on any number of devices."""
    return replace(tiny, method=replace(tiny.method, negatives="batch"))


def assert_close(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    # Float32, and Adam's first steps: rounding grows, so only the first step is told apart.
    assert found[0]["loss"] == pytest.approx(expected[0]["loss"], rel=1e-4)


def test_two_processes_train_one_run(shared: Config, tmp_path: Path, project: Path) -> None:
    alone, both = tmp_path / "alone", tmp_path / "both"
    words = command("train.py", shared, tmp_path)
    subprocess.run([*words, "--workdir", str(alone)], cwd=project, check=True, capture_output=True)
    for epochs in (
        "2",
        "3",
    ):  # a run cut short has another config, so its registration is set aside
        results = run_processes(
            [[*words, "--workdir", str(both), "--train.epochs", epochs]] * 2, 2, project
        )
        assert [code for code, _, _ in results] == [0, 0], results
        first, second = results
        assert "Rank-1" in first[1]
        assert "Rank-1" not in second[1]
        assert "no report by several processes; pmm report" in first[1]
        if epochs == "2":
            saved = json.loads((both / "config.json").read_text())
            saved["train"]["epochs"] = 3
            (both / "config.json").write_text(json.dumps(saved))
    assert "going on after step 4" in first[1]
    assert not (both / "report.html").exists()
    begun, resumed = read_sessions(both).sessions
    assert (begun["last_step"], resumed["first_step"], resumed["last_step"]) == (4, 4, 6)
    assert begun["machine"]["processes"] == resumed["machine"]["processes"] == 2
    assert begun["machine"]["devices"][0]["count"] == 4
    lines = [line for line in read_metrics(both) if "loss" in line]
    assert_close(lines, [line for line in read_metrics(alone) if "loss" in line])

    evaluation = command("eval.py", shared, tmp_path)
    (code, output, error), (other, silence, _) = run_processes(
        [[*evaluation, "--workdir", str(both), "--json"]] * 2, 2, project
    )
    assert (code, other, silence) == (0, 0, ""), error
    last = read_metrics(both)[-1]
    assert json.loads(output)["mAP"] == pytest.approx(last["mAP"], abs=1e-6)


def test_other_configs_in_one_run_stop_all(shared: Config, tmp_path: Path, project: Path) -> None:
    words = [*command("train.py", shared, tmp_path), "--workdir", str(tmp_path / "run")]
    results = run_processes([words, [*words, "--optim.peak-lr", "0.5"]], 1, project)
    for code, _, error in results:
        assert code == 2
        assert "the processes hold different configs" in error
    assert not (tmp_path / "run").exists()
