"""Lines of evidence: their command trains that very config, and the docs have them all."""

import shlex
from dataclasses import replace
from pathlib import Path

from benchmarks import evidence
from pmm_jax.cli.config_file import load_config
from pmm_jax.cli.parsing import parse_run
from pmm_jax.cli.train import TrainOptions
from pmm_jax.config import Config
from pmm_jax.workdir.run_config import register_run
from pmm_jax.workdir.run_log import METRICS, log_line
from pmm_jax.workdir.sessions import Session

DOCS = Path(__file__).parents[1] / "docs"


def changed() -> Config:
    config = load_config("market1501_cpu")
    return replace(
        config,
        model=replace(config.model, zero_init_last=False),
        method=replace(config.method, name="none", cumulative=True),
        optim=replace(config.optim, betas=(0.9, 0.99)),
        train=replace(config.train, seed=2),
    )


def test_the_command_trains_the_same_config() -> None:
    program, verb, *words = shlex.split(evidence.command("market1501_cpu", changed()))
    assert (program, verb) == ("pmm", "train")
    assert parse_run(words, TrainOptions, "")[0] == changed()


def test_a_finished_run(tmp_path: Path) -> None:
    register_run(tmp_path, changed(), "train", "images")
    session = Session(tmp_path, changed(), None)
    session.start(0)
    (tmp_path / METRICS).write_text(log_line(9, 150, {"rank1": 2 / 3, "mAP": 0.25}))
    assert evidence.read_row("market1501_cpu", tmp_path) is None
    session.end("finished")
    row = evidence.read_row("market1501_cpu", tmp_path)
    assert row is not None
    assert (row["method"], row["seed"], row["epochs"], row["split"]) == ("none", 2, 150, "test")
    assert (row["rank1"], row["mAP"], row["overlap"]) == (0.666667, 0.25, None)
    again = {**row, "mAP": 0.5}
    assert evidence.merge([row], [again]) == [again]
    assert evidence.merge([row], [{**row, "split": "held out"}])[0] == row


def test_the_docs_have_every_line() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("experiments/2*.md"))
    for row in evidence.read_rows():
        assert evidence.markdown(row) in text
