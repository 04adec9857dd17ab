"""Runs of which something is missing or odd: a page that says so, or one line."""

import errno
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pmm_jax.cli.report import make_report, report_command, report_end
from pmm_jax.config import Config
from pmm_jax.data.prepare import prepare
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.report import page, run_data, sections
from pmm_jax.report.page import write_page
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content, Section
from pmm_jax.workdir.run_config import load_run_config, register_run
from pmm_jax.workdir.seal import checked, with_checksum

QUIET = Display(quiet=True)
LINE = {"step": 1, "epoch": 1, "loss": 9.0, "accuracy": None, "learning_rate": 0.1}
Both = tuple[Embeddings, Embeddings]
OF = {section.name: section for section in sections.SECTIONS}
CHEAP = (OF["result"], OF["curves"], OF["provenance"])
"""Sections that need neither model nor pictures."""


def copied(run: Path, target: Path, **data: Any) -> Path:
    """A copy of a run, with other fields of data in its config."""
    shutil.copytree(run, target)
    path = target / "config.json"
    values = checked(path.read_bytes())
    assert values is not None
    values["data"] |= data
    path.write_text(json.dumps(with_checksum(values)))
    return target


@pytest.fixture
def away(finished: Path, people: Path, tmp_path: Path) -> Path:
    """A run whose data set lies in tmp_path/set, prepared in tmp_path/prepared."""
    shutil.copytree(people, tmp_path / "set")
    places = {"root": str(tmp_path / "set"), "cache_dir": str(tmp_path / "prepared")}
    workdir = copied(finished, tmp_path / "run", **places)
    prepare(load_run_config(workdir).data)
    return workdir


@pytest.fixture
def begun(tiny: Config, tmp_path: Path) -> Path:
    """A run that ended before its first step was logged."""
    register_run(tmp_path / "run", tiny)
    return tmp_path / "run"


def report(
    workdir: Path,
    embedded: Both | None = None,
    shown: Sequence[str] = ("result",),
    change: Callable[[RunData], None] = lambda run: None,
) -> dict[str, Any]:
    """The numbers of a page, which has to be there."""
    run = RunData(workdir, QUIET, embedded)
    change(run)
    path = workdir / "report.html"
    write_page(run, [OF[name] for name in shown], path)
    assert path.read_text().rstrip().endswith("</html>")
    return json.loads(path.with_suffix(".json").read_text())


def people_of(
    count: int, identities: int, cameras: int, split: str, seed: int = 0, length: int = 48
) -> Embeddings:
    rng = np.random.default_rng(seed)
    return Embeddings(
        rng.normal(size=(count, length)).astype(np.float32),
        1 + np.arange(count) % identities,
        np.arange(count) // identities % cameras if cameras else -1 - np.arange(count),
        np.array([f"{split}/{row}.jpg" for row in range(count)]),
    )


@pytest.mark.slow
def test_a_root_that_is_gone_costs_nothing(away: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "set")
    found = report(away, shown=list(OF))
    assert not [name for name in OF if found[name].get("missing")]
    assert found["result"]["logged"] is None
    assert found["result"]["color"]
    assert found["provenance"]["data"]["splits"]["train"]["images"] == 36
    assert found["missing_pictures"] == {}


def test_without_images_the_log_is_shown(away: Path, tmp_path: Path) -> None:
    for folder in ("set", "prepared"):
        shutil.rmtree(tmp_path / folder)
    found = report(away, shown=list(OF))
    last = json.loads((away / "metrics.jsonl").read_text().splitlines()[-1])
    assert found["result"]["evaluation"] == last
    assert "does not exist" in found["result"]["logged"]
    assert found["curves"]["last"]["step"] == 2
    assert "is not prepared" in found["provenance"]["data"]["missing"]
    assert found["provenance"]["sessions"][0]["outcome"] == "finished"
    assert found["provenance"]["data"]["fingerprint"]
    text = (away / "report.html").read_text()
    assert "These figures are the last ones in the log, of step 2" in text


def test_a_damaged_record_costs_what_needs_it(away: Path, tmp_path: Path) -> None:
    (path,) = (tmp_path / "prepared").rglob("*gallery.array_record*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = report(away, (QUERY, GALLERY))
    assert found["result"]["color"] is None
    assert "is damaged" in found["result"]["color_missing"]
    assert found["result"]["evaluation"]["mAP"] > 0
    shutil.rmtree(tmp_path / "set")
    found = report(away)
    assert "is damaged" in found["result"]["logged"]


def test_a_run_that_ended_before_its_first_step(begun: Path) -> None:
    found = report(begun, shown=list(OF))
    assert "has no latest checkpoint yet" in found["result"]["missing"]
    assert "logged no step" in found["curves"]["missing"]
    assert found["provenance"]["sessions"] == []
    assert found["provenance"]["steps"] == 0
    assert "no record of its command" in (begun / "report.html").read_text()


def test_a_run_that_ended_before_its_first_checkpoint(begun: Path) -> None:
    cut = json.dumps(LINE)[:-9]
    others = ({**LINE, "loss": "9"}, {**LINE, "loss": [9]}, {"step": 1, "lost": 9.0})
    lines = [json.dumps(line) for line in (LINE, *others)]
    (begun / "metrics.jsonl").write_text("\n".join([*lines, cut]))
    found = report(begun, shown=["result", "curves", "provenance"])
    assert "has no latest checkpoint yet" in found["result"]["missing"]
    assert found["curves"]["train"] == [LINE]
    assert found["curves"]["test"] == []
    assert found["provenance"]["steps"] == 1
    assert "; no checkpoint; trained to epoch 1 of " in found["subtitle"]
    assert found["subtitle"] in (begun / "report.html").read_text()


def test_a_run_without_a_record_of_its_sessions(finished: Path, tmp_path: Path) -> None:
    workdir = copied(finished, tmp_path / "run")
    record = workdir / "sessions.jsonl"
    record.write_bytes(record.read_bytes().replace(b"outcome", b"outcomf"))
    found = report(workdir, (QUERY, GALLERY), ["provenance"])["provenance"]
    assert found["damaged_lines"] == found["without_end"] == 1
    record.unlink()
    found = report(workdir, (QUERY, GALLERY), ["provenance"])["provenance"]
    assert (found["sessions"], found["machine"], found["steps"]) == ([], None, 2)
    assert found["config"]["named"] is None
    assert found["config"]["fields"]["model.embedding_size"] == [512, 16]


QUERY, GALLERY = people_of(6, 3, 2, "query"), people_of(8, 4, 2, "gallery", 1)
NOTHING = np.arange(0)
UNRANKED = {
    "quer": (QUERY.take(NOTHING), GALLERY),
    "galler": (QUERY, GALLERY.take(NOTHING)),
    "camera": (people_of(6, 3, 1, "query"), people_of(8, 4, 1, "gallery")),
}
"""Query and gallery that can't be ranked, by a word of the reason."""
ODD = {
    "one identity": (people_of(6, 1, 2, "query"), people_of(8, 1, 2, "gallery", 1)),
    "one query": (QUERY.take(np.arange(1)), GALLERY),
    "no cameras": (people_of(6, 3, 0, "query"), people_of(8, 4, 0, "gallery", 1)),
    "large": (people_of(6, 6, 2, "query"), people_of(200_000, 1500, 6, "gallery", 1)),
}


@pytest.mark.parametrize("reason", UNRANKED)
def test_what_can_not_be_ranked_is_said(finished: Path, tmp_path: Path, reason: str) -> None:
    found = report(copied(finished, tmp_path / "run"), UNRANKED[reason])
    assert reason in found["result"]["logged"]


@pytest.mark.parametrize("name", ODD)
def test_odd_sets_have_a_result(finished: Path, tmp_path: Path, name: str) -> None:
    query, gallery = ODD[name]
    found = report(copied(finished, tmp_path / "run"), (query, gallery))
    assert found["result"]["evaluated"] == len(query.identities)
    assert found["result"]["gallery"] == len(gallery.identities)
    assert found["result"]["evaluation"]["intervals"]["mAP"][1] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [*UNRANKED, *ODD])
def test_no_section_fails(finished: Path, tmp_path: Path, name: str) -> None:
    workdir = copied(finished, tmp_path / "run")
    found = report(workdir, (UNRANKED | ODD)[name], list(OF))
    assert found["provenance"]["seed"] == 0
    assert (workdir / "report.html").stat().st_size < 15e6


def test_a_single_shot_run_has_no_interval(finished: Path, tmp_path: Path) -> None:
    def single_shot(run: RunData) -> None:
        run.config = replace(run.config, evaluate=replace(run.config.evaluate, single_shot=2))

    workdir = copied(finished, tmp_path / "run")
    found = report(workdir, (QUERY, GALLERY), change=single_shot)
    assert "intervals" not in found["result"]["evaluation"]


def failing(error: BaseException) -> Section[RunData]:
    def build(run: RunData) -> Content:
        raise error

    return Section("result", "Result", build)


@pytest.mark.parametrize("error", [TypeError("a\nbug"), MemoryError("all"), OSError(5, "I/O")])
def test_a_section_that_fails_costs_no_other_and_is_not_silenced(
    begun: Path, error: Exception
) -> None:
    (begun / "metrics.jsonl").write_text(f"{json.dumps(LINE)}\n")
    with pytest.raises(type(error)) as raised:
        write_page(RunData(begun, QUIET), [failing(error), *CHEAP[1:]], begun / "report.html")
    assert raised.value is error
    text = (begun / "report.html").read_text()
    assert f"Not shown: it failed ({type(error).__name__}: " in text
    found = json.loads((begun / "report.json").read_text())
    assert found["curves"]["last"]["loss"] == 9.0


@pytest.mark.parametrize("values", [{"x": object()}, {"headings": {}}], ids=["JSON", "template"])
def test_values_and_template_that_fail_cost_no_other_section(
    begun: Path, values: dict[str, Any]
) -> None:
    odd = Section[RunData]("result", "Result", lambda run: Content(values, {}))
    with pytest.raises(Exception, match=r"JSON|undefined|attribute"):
        write_page(RunData(begun, QUIET), [odd, *CHEAP[1:]], begun / "report.html")
    assert "How it was made" in (begun / "report.html").read_text()


def end(config: Config, workdir: Path) -> None:
    report_end(config, workdir, QUERY, GALLERY)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("no room"), None),
        (TypeError("a bug"), "TypeError: a bug"),
        (MemoryError(), "MemoryError"),
        (OSError(errno.ENOSPC, "No space left"), "No space left"),
        (KeyboardInterrupt(2), "interrupted; the run is complete"),
    ],
)
def test_a_run_s_end_never_fails_for_its_report(
    begun: Path,
    tiny: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    said: str | None,
) -> None:
    monkeypatch.setattr(sections, "SECTIONS", [failing(error), *CHEAP[1:]])
    end(tiny, begun)
    out = capsys.readouterr().out
    if said is None:  # a section that isn't shown is no failure
        assert out == f"report: {begun}/report.html\n"
    else:
        assert out.startswith("warning: no whole report (")
        assert said in out
        assert out.endswith(f"; pmm report {begun} writes it\n")
    assert (begun / "report.html").exists() != isinstance(error, KeyboardInterrupt)


def test_several_processes_leave_it_to_one(
    begun: Path,
    tiny: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("jax.process_count", lambda: 2)
    end(tiny, begun)
    assert f"pmm report {begun} writes it in one" in capsys.readouterr().out
    assert not (begun / "report.html").exists()


@pytest.mark.parametrize("fails_at", [".html", ".json"])
def test_a_disk_that_fills_up_leaves_nothing_partial(
    begun: Path,
    tiny: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fails_at: str,
) -> None:
    plain = page.write_atomic

    def write(path: Path, data: bytes) -> None:
        if path.suffix == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(path, data)

    monkeypatch.setattr(page, "write_atomic", write)
    monkeypatch.setattr(sections, "SECTIONS", CHEAP)
    end(tiny, begun)
    assert "report.html can't be written: No space left on device" in capsys.readouterr().out
    with pytest.raises(UserError, match="No space left"):
        report(begun)
    assert not list(begun.glob("*.partial"))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none", "file", "."):
        with pytest.raises(UserError, match=r"holds no run|file is a file; name the run's folder"):
            report_command([str(tmp_path / name)])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_another_version_s_config_is_refused(finished: Path, tmp_path: Path) -> None:
    workdir = copied(finished, tmp_path / "run", new_field=1)
    with pytest.raises(UserError, match="new_field"):
        make_report(workdir, None, QUIET)
    assert not (workdir / "report.html").exists()


def test_a_run_that_is_training_has_one_checkpoint_on_a_page(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunData(finished, QUIET)
    monkeypatch.setattr(run_data, "check_images_of_run", lambda *_: None)
    used: list[Any] = []
    monkeypatch.setattr(run_data, "embed_with_weights", lambda *words: used.extend(words))
    assert run.embeddings is None
    monkeypatch.setattr(run_data, "restore_run", lambda *_: pytest.fail("a newer one is read"))
    assert run.model.network is used[0]
    assert run.model.params is used[2]
    assert f" ({Path(run.config.data.root).name}), seed 0; {run.progress}" in run.subtitle
    assert run.progress == "latest checkpoint, step 2; trained to epoch 1 of 1"


def test_a_page_is_of_the_checkpoint_that_the_run_evaluates(
    begun: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunData(begun, QUIET)
    run.config = best = replace(tiny, evaluate=replace(tiny.evaluate, checkpoint="best"))
    asked: list[Any] = []

    def restore(workdir: Path, checkpoint: str, info: Any) -> None:
        asked.append(checkpoint)
        raise UserError("none is there")

    monkeypatch.setattr(run_data, "restore_run", restore)
    assert run.progress.startswith("no checkpoint")
    assert asked == ["best"]
    given: list[Any] = []
    monkeypatch.setattr("pmm_jax.cli.report.make_report", lambda *words: given.append(words[-1]))
    end(best, begun)
    end(tiny, begun)
    assert given == [None, (QUERY, GALLERY)]


def unreachable(run: RunData) -> Content:
    raise AssertionError("the place is looked at before the work")


def test_a_place_that_can_not_be_written_is_refused_first(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [Section("result", "Result", unreachable)]
    write = partial(write_page, RunData(begun, QUIET), shown)
    with pytest.raises(UserError, match="there is no folder"):
        write(tmp_path / "none" / "report.html")
    monkeypatch.setattr(page.os, "access", lambda *_: False)
    with pytest.raises(UserError, match="is read-only"):
        write(tmp_path / "report.html")
