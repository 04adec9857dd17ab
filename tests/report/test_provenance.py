"""How a run was made, as its page says it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pmm_jax.config import Config
from pmm_jax.data.prepare import prepare
from pmm_jax.display import Display
from pmm_jax.report.page import write_page
from pmm_jax.report.run_data import RunData
from pmm_jax.report.sections import SECTIONS
from pmm_jax.workdir import sessions
from pmm_jax.workdir.run_config import register_run
from pmm_jax.workdir.sessions import Command, open_session

(SECTION,) = (section for section in SECTIONS if section.name == "provenance")


@pytest.fixture
def workdir(tiny: Config, tmp_path: Path) -> Path:
    prepare(tiny.data)
    register_run(tmp_path, tiny, data="the fingerprint")
    return tmp_path


def session(workdir: Path, config: Config, first: int, last: int, version: str = "1") -> None:
    named = replace(config, train=replace(config.train, epochs=7))
    command = Command(f"pmm train --config my.py --x {version}", "my.py", named)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "versions", lambda: {"jax": version, "commit": None})
        patch.setattr(sessions, "_now", lambda: f"2026-01-02T03:04:0{version}+00:00")
        with open_session(workdir, config, command, print) as one:
            one.start(first)
            one.step = last


def shown(workdir: Path) -> tuple[dict[str, Any], str]:
    write_page(RunData(workdir, Display(quiet=True)), [SECTION], workdir / "report.html")
    values = json.loads((workdir / "report.json").read_text())
    return values["provenance"], (workdir / "report.html").read_text()


def test_a_resumed_run_on_another_machine(workdir: Path, tiny: Config) -> None:
    session(workdir, tiny, 0, 4, "1")
    session(workdir, tiny, 4, 6, "2")
    values, text = shown(workdir)
    assert values["command"] == "pmm train --config my.py --x 2"
    assert values["config"] == {"named": "my.py", "fields": {"train.epochs": [7, 3]}}
    assert (values["steps"], values["seed"]) == (6, 0)
    assert values["versions"]["jax"] == "2"
    command = "pmm train --config my.py --x 1"
    (change,) = values["changes"]
    assert change["fields"] == {"command": command, "jax": "1"}
    assert values["seconds"] == pytest.approx(sum(one["seconds"] for one in values["sessions"]))
    for said in ("6 steps in", "2026-01-02 03:04:02", "jax <code>", command, "the config my.py"):
        assert said in text


def test_an_evaluation_of_the_finished_run_did_not_make_it(workdir: Path, tiny: Config) -> None:
    session(workdir, tiny, 0, 6, "1")
    session(workdir, tiny, 6, 6, "2")
    values, _ = shown(workdir)
    assert values["versions"]["jax"] == "1"
    assert values["changes"] == []
    assert len(values["sessions"]) == 2


def test_the_data_are_counted(workdir: Path) -> None:
    data = shown(workdir)[0]["data"]
    assert data["fingerprint"] == "the fingerprint"
    assert data["splits"] == {
        "train": {"images": 36, "identities": 9, "cameras": 2, "distractors": 0},
        "query": {"images": 6, "identities": 3, "cameras": 2, "distractors": 0},
        "gallery": {"images": 8, "identities": 3, "cameras": 2, "distractors": 2},
    }


def test_texts_of_a_command_are_no_html(workdir: Path, tiny: Config) -> None:
    command = Command("pmm train --workdir '<b>&'", "<i>", tiny)
    with open_session(workdir, tiny, command, print) as one:
        one.start(0)
        one.step = 6
    _, text = shown(workdir)
    assert "&lt;b&gt;&amp;" in text
    assert "<i>" not in text
