"""A workdir belongs to one run."""

import json
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from pmm_jax.config import (
    Config,
    DataConfig,
    EvaluateConfig,
    MethodConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from pmm_jax.errors import UserError
from pmm_jax.fields import walk
from pmm_jax.workdir.run_config import (
    check_resume,
    data_fingerprint,
    load_run_config,
    register_run,
    run_lock,
)
from pmm_jax.workdir.seal import Seal, checked, seal_path, with_checksum

CONFIG = Config()


def test_writes_the_config(tmp_path: Path) -> None:
    register_run(tmp_path / "runs" / "a", replace(CONFIG, method=MethodConfig(top_k=6)))
    written = json.loads((tmp_path / "runs" / "a" / "config.json").read_text())
    assert written["method"]["top_k"] == 6
    assert written["data"]["image_size"] == [384, 128]


def run_once(workdir: Path) -> None:
    """What a run leaves: its config and a step that was logged."""
    register_run(workdir, CONFIG)
    (workdir / "metrics.jsonl").write_text('{"step": 1, "epoch": 1, "loss": 9.0}\n')


def test_a_run_that_failed_before_its_first_line_registers_nothing(tmp_path: Path) -> None:
    register_run(tmp_path, CONFIG)
    register_run(tmp_path, replace(CONFIG, method=MethodConfig(top_k=6)))
    assert json.loads((tmp_path / "config.json").read_text())["method"]["top_k"] == 6


def test_a_checkpoint_without_a_line_is_a_run_too(tmp_path: Path) -> None:
    register_run(tmp_path, CONFIG)
    (tmp_path / "checkpoints" / "3" / "default").mkdir(parents=True)
    with pytest.raises(UserError, match=r"train\.seed 0, not 1"):
        register_run(tmp_path, replace(CONFIG, train=TrainConfig(seed=1)))


def test_the_same_config_may_come_back(tmp_path: Path) -> None:
    run_once(tmp_path)
    register_run(tmp_path, Config())


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(CONFIG, method=MethodConfig(top_k=8)), ["method.top_k 3, not 8"]),
        (replace(CONFIG, train=TrainConfig(seed=1)), ["train.seed 0, not 1"]),
        (
            replace(CONFIG, data=DataConfig(image_size=(192, 64))),
            ["data.image_size", "[384, 128]", "[192, 64]"],
        ),
    ],
)
def test_another_config_is_refused_and_changes_nothing(
    tmp_path: Path, other: Config, words: list[str]
) -> None:
    run_once(tmp_path)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(UserError) as refusal:
        register_run(tmp_path, other)
    for word in [*words, str(tmp_path), "--workdir"]:
        assert word in str(refusal.value)
    assert (tmp_path / "config.json").read_text() == before


def other_value(kind: Any, value: Any, field: Field) -> Any:
    """Another one of the same type, in the field's range."""
    if kind is bool:
        return not value
    if get_origin(kind) is Literal:
        return next(one for one in get_args(kind) if one != value)
    if kind is str:
        return f"{value}-other"
    least, most = field.metadata["range"]
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1 if value[-1] + 1 <= most else value[-1] / 2)
    return type(value)(least if value != least else most)


@pytest.mark.parametrize("name", [name for name, _, _ in walk(Config)])
def test_only_fields_that_change_no_result_may_differ(tmp_path: Path, name: str) -> None:
    run_once(tmp_path)
    [(_, field, kind)] = [found for found in walk(Config) if found[0] == name]
    group, word = name.split(".")
    values = getattr(CONFIG, group)
    changed = replace(values, **{word: other_value(kind, getattr(values, word), field)})
    other = replace(CONFIG, **{group: changed})
    assert other != CONFIG
    if name in FREE:
        register_run(tmp_path, other)
    else:
        with pytest.raises(UserError, match=rf"holds a run with {name} "):
            register_run(tmp_path, other)


FREE = {
    "data.root",
    "data.cache_dir",
    "data.host_cache_gib",
    "data.device_cache_gib",
    "data.num_workers",
    "model.remat",
    "optim.shard_moments",
    "train.steps_per_call",
    "train.checkpoint_every",
    "train.profile_steps",
    *(f"evaluate.{field.name}" for field in fields(EvaluateConfig)),
}


def test_fields_that_change_no_result_may_change(tmp_path: Path) -> None:
    run_once(tmp_path)
    free = replace(
        CONFIG,
        data=DataConfig(num_workers=5, cache_dir="elsewhere", host_cache_gib=0),
        train=TrainConfig(checkpoint_every=3, profile_steps=2),
        evaluate=EvaluateConfig(batch_size=7, checkpoint="best", query_block=3),
    )
    register_run(tmp_path, free)
    assert json.loads((tmp_path / "config.json").read_text())["data"]["num_workers"] == 5


def test_a_field_that_only_the_run_knows_is_named(tmp_path: Path) -> None:
    run_once(tmp_path)
    path = tmp_path / "config.json"
    saved = checked(path.read_bytes())
    assert saved
    saved["method"]["gone"] = 3
    path.write_text(json.dumps(with_checksum(saved)))
    with pytest.raises(UserError, match=r"no field 'method\.gone'"):
        register_run(tmp_path, CONFIG)


@pytest.mark.parametrize("content", ["{ torn", "[]", '{"data": 3}', "null", ""])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: str) -> None:
    run_once(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match="not as it was written"):
        register_run(tmp_path, CONFIG)


def test_a_workdir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--workdir .* can't be written"):
        register_run(tmp_path / "file", CONFIG)


def test_a_run_of_another_command_is_refused(tmp_path: Path) -> None:
    run_once(tmp_path)
    with pytest.raises(UserError, match="holds a run of train, not of compare --precision float64"):
        register_run(tmp_path, CONFIG, "compare --precision float64")


def test_a_field_that_is_younger_than_the_run_had_its_default(tmp_path: Path) -> None:
    run_once(tmp_path)
    path = tmp_path / "config.json"
    groups = checked(path.read_bytes())
    assert groups
    del groups["model"]["neck"]
    path.write_text(json.dumps(with_checksum(groups)))
    check_resume(tmp_path, CONFIG)
    with pytest.raises(UserError, match=r'model\.neck "bn_relu", not "bnneck"'):
        check_resume(tmp_path, replace(CONFIG, model=ModelConfig(neck="bnneck")))


def test_a_run_on_other_images_is_refused(tmp_path: Path) -> None:
    run_once(tmp_path)
    register_run(tmp_path, CONFIG, data="a")  # an older run didn't say
    register_run(tmp_path, CONFIG, data="a")
    with pytest.raises(UserError, match=r"are not those that the run in .* began with"):
        register_run(tmp_path, CONFIG, data="b")


def test_the_images_may_have_moved_and_checking_writes_nothing(tmp_path: Path) -> None:
    run_once(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    moved = replace(CONFIG, data=DataConfig(root="elsewhere"))
    check_resume(tmp_path, moved)
    assert (tmp_path / "config.json").read_bytes() == before


@pytest.mark.parametrize("bit", range(8))
def test_a_bit_flipped_anywhere_in_the_config_is_found_out(tmp_path: Path, bit: int) -> None:
    run_once(tmp_path)
    path = tmp_path / "config.json"
    data = path.read_bytes()
    for place in range(bit, len(data), 61):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
        if json.loads(data) != _parsed(path):  # white space means nothing
            with pytest.raises(UserError, match="not as it was written"):
                load_run_config(tmp_path)


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def test_a_checkpoint_has_a_copy_of_the_config(tmp_path: Path) -> None:
    register_run(tmp_path, replace(CONFIG, train=TrainConfig(seed=5)), data="images")
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    seal_path(tmp_path, 3).write_bytes(Seal({}, "", text).encode())
    for damaged in (None, text[:100], text.replace("5", "6"), ""):
        (tmp_path / "config.json").unlink()
        if damaged is not None:
            (tmp_path / "config.json").write_text(damaged)
        assert load_run_config(tmp_path).train.seed == 5
        assert data_fingerprint(tmp_path) == "images"
        register_run(tmp_path, replace(CONFIG, train=TrainConfig(seed=5)))
        assert (tmp_path / "config.json").read_text() == text


def test_the_evaluation_may_change_when_a_run_goes_on(tmp_path: Path) -> None:
    run_once(tmp_path)
    register_run(tmp_path, replace(CONFIG, evaluate=EvaluateConfig(rerank=True, flip_average=True)))


def test_more_epochs_go_on_where_the_rates_stay_what_they_were(tmp_path: Path) -> None:
    longer = replace(CONFIG, train=TrainConfig(epochs=500))
    for schedule in ("step", "cosine"):
        register_run(tmp_path / schedule, replace(CONFIG, optim=OptimConfig(schedule=schedule)))
        (tmp_path / schedule / "metrics.jsonl").write_text('{"step": 1}\n')
    check_resume(tmp_path / "step", longer)
    with pytest.raises(UserError, match=r"train\.epochs 400, not 300"):
        check_resume(tmp_path / "step", replace(CONFIG, train=TrainConfig(epochs=300)))
    cosine = replace(longer, optim=OptimConfig(schedule="cosine"))
    with pytest.raises(UserError, match=r"--init-from .* trains on from its weights"):
        check_resume(tmp_path / "cosine", cosine)


def test_an_empty_value_is_shown(tmp_path: Path) -> None:
    run_once(tmp_path)
    with pytest.raises(UserError, match=r'method\.saliency_model "own", not ""'):
        check_resume(tmp_path, replace(CONFIG, method=MethodConfig(saliency_model="")))


def test_another_start_is_refused_and_none_goes_on(tmp_path: Path) -> None:
    register_run(tmp_path, CONFIG, initial="one")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    register_run(tmp_path, CONFIG)
    register_run(tmp_path, CONFIG, initial="one")
    with pytest.raises(UserError, match="did not start from that --init-from"):
        register_run(tmp_path, CONFIG, initial="two")


def test_a_workdir_that_is_gone_or_another_one_is_noticed(tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    with run_lock(workdir, print) as still_there:
        still_there()
        workdir.rename(tmp_path / "renamed")
        with pytest.raises(UserError, match="removed or renamed"):
            still_there()
        workdir.mkdir()
        (workdir / "lock").touch()
        with pytest.raises(UserError, match="removed or renamed"):
            still_there()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        run_lock(tmp_path, said.append),
        pytest.raises(UserError, match="another process is training in"),
        run_lock(tmp_path, said.append),
    ):
        pytest.fail("two processes have the lock")
    entered = []
    with run_lock(tmp_path, said.append):
        entered.append("again")
    assert entered == ["again"]
    assert said == []


def test_what_a_kill_left_is_removed_by_who_has_the_lock(tmp_path: Path) -> None:
    (tmp_path / "config.json.17.partial").write_text("cut sh")
    with run_lock(tmp_path, print):
        assert not list(tmp_path.glob("*.partial"))


def test_a_config_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    run_once(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"stages": 3', '"stages": 7'))
    with pytest.raises(UserError, match=r"config\.json is not as it was written"):
        load_run_config(tmp_path)
    groups = json.loads(path.read_text())
    del groups["sha256"]
    path.write_text(json.dumps(with_checksum(groups)))
    with pytest.raises(UserError, match=r"config\.json: method\.stages is 7; it must be one of"):
        load_run_config(tmp_path)
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"config\.json is not as it was written"):
        load_run_config(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"config\.json is a folder"):
        load_run_config(tmp_path)
