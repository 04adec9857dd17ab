"""eval.py on saved embeddings: its options, and what it refuses."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.evaluation import evaluate_embeddings, load_features
from tests.cli.entry import Program, start


def saved() -> str:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for side, count in (("query", 30), ("gallery", 120)):
        ids = rng.integers(0, 6, count)
        arrays[f"{side}_features"] = (np.eye(6, 8)[ids] + rng.standard_normal((count, 8))).astype(
            np.float32
        )
        arrays[f"{side}_ids"], arrays[f"{side}_cameras"] = ids, rng.integers(0, 3, count)
    np.savez("features.npz", allow_pickle=False, **arrays)
    return "features.npz"


@pytest.fixture
def printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, project: Path
) -> Program:
    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["eval.py", "--embeddings", saved(), *arguments])
        start(project, "eval.py")
        return capsys.readouterr().out

    return run


def test_json_is_one_object(printed: Program) -> None:
    metrics = evaluate_embeddings(*load_features(saved()))
    assert json.loads(printed("--json"))["mAP"] == metrics.mAP


def test_options_change_the_ranking(printed: Program) -> None:
    plain = json.loads(printed("--json"))
    for options in (
        ["--distance", "cosine"],
        ["--no-cameras"],
        ["--multi-query", "max"],
        ["--single-shot", "3"],
        ["--rerank", "--k1", "10", "--k2", "3"],
        ["--distance", "cosine", "--query-expansion-k", "3", "--dba-k", "2"],
    ):
        assert json.loads(printed("--json", *options))["mAP"] != plain["mAP"], options


def test_extras_are_printed_and_queries_written(printed: Program) -> None:
    text = printed("--roc", "--intervals", "--camera-pairs", "--per-query", "queries.csv")
    for words in ("Rank-1", "bootstrap", "false positive rate", "camera of the query"):
        assert words in text
    with Path("queries.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    values = [float(row["average_precision"]) for row in rows if row["average_precision"]]
    metrics = evaluate_embeddings(*load_features("features.npz"))
    assert np.mean(values) == pytest.approx(metrics.mAP, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("did you mean --rerank", ["--re-rank"]),
        ("query_block is 0", ["--query-block", "0"]),
        ("set distance to cosine", ["--query-expansion-k", "3"]),
        ("index_top_n is 0", ["--faiss-index", "Flat", "--index-top-n", "0"]),
        ("can't be combined", ["--rerank", "--single-shot", "3"]),
        ("these images have none", ["--no-cameras", "--camera-pairs"]),
        ("needs 1 <= k2 <= k1 < 150", ["--rerank", "--k1", "500"]),
        ("no/such is no folder that can be written to", ["--per-query", "no/such/queries.csv"]),
        ("invalid choice", ["--distance", "manhattan"]),
    ],
)
def test_refusals(refused: Program, words: str, arguments: list[str]) -> None:
    assert words in refused("eval.py", "--embeddings", saved(), *arguments)


@pytest.mark.parametrize("arguments", [["--json"], [], ["--help"]])
def test_a_reader_that_goes_away_ends_it_quietly(project: Path, arguments: list[str]) -> None:
    command = [sys.executable, str(project / "eval.py"), "--embeddings", saved(), *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(project)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 128 + signal.SIGPIPE


def test_a_pipe_is_no_file_of_embeddings(refused: Program) -> None:
    os.mkfifo("pipe.npz")
    assert "pipe.npz is a named pipe" in refused("eval.py", "--embeddings", "pipe.npz")
