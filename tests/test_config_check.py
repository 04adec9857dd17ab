"""A config read back from config.json is checked like a command line."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from pmm_jax.config import Config, DataConfig, MethodConfig, OptimConfig
from pmm_jax.config_check import check, parse_config
from pmm_jax.errors import UserError


def changed(group: str, **values: Any) -> str:
    groups = asdict(Config())
    groups[group] |= values
    return json.dumps(groups)


def test_a_config_comes_back() -> None:
    config = Config(method=MethodConfig(top_k=6), optim=OptimConfig(peak_lr=1))
    assert parse_config(json.dumps(asdict(config))) == config
    assert parse_config(json.dumps(asdict(config), indent=2).encode()) == config
    assert parse_config(json.dumps(asdict(config) | {"run": {"task": "train"}})) == config


def test_a_field_that_it_lacks_has_its_default() -> None:
    groups = asdict(Config(method=MethodConfig(top_k=6)))
    del groups["method"]["top_k"]
    assert parse_config(json.dumps(groups)) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed("method", stages=7), r"method\.stages is 7; it must be one of 1, 2, 3"),
        (changed("method", stages=True), r"method\.stages is True"),
        (changed("optim", min_lr=0.01), r"optim\.min_lr 0\.01 is above optim\.peak_lr 0\.001"),
        (changed("method", stages=2.0), r"method\.stages is 2\.0"),
        (changed("method", name="pmx"), r"method\.name is 'pmx'; it must be one of pmm, "),
        (changed("train", epochs=2.0), r"train\.epochs is 2\.0; it must be of type int"),
        (changed("train", epochs="2"), r"train\.epochs is '2'"),
        (changed("train", epochs=None), r"train\.epochs is None"),
        (changed("train", seed=2**31), r"train\.seed is 2147483648; it must lie between"),
        (changed("optim", peak_lr=float("nan")), r"optim\.peak_lr is nan"),
        (changed("optim", betas=[0.9, float("inf")]), r"optim\.betas is \(0\.9, inf\)"),
        (changed("optim", betas=[0.9]), r"optim\.betas is \(0\.9,\); it must be a tuple"),
        (changed("optim", milestones=[300, 200]), r"300 and 200; they must ascend"),
        (changed("data", image_size=[384, [128]]), r"data\.image_size is \(384, \[128\]\)"),
        (changed("data", image_size={"384": 128}), r"data\.image_size is \{'384': 128\}"),
        (changed("data", image_size=[384, 100]), r"image width 100 is not a multiple"),
        (changed("data", root="a\0b"), r"data\.root is 'a\\x00b'"),
        (changed("data", root=["a"]), r"data\.root is \['a'\]"),
        (changed("model", remat=1), r"model\.remat is 1; it must be of type bool"),
        (changed("method", top_k=33), r"method\.top_k 33 must lie between 1 and 32"),
        (changed("method", gone=1), r"this version has no field 'method\.gone'"),
        (json.dumps(asdict(Config()) | {"modle": {}}), r"no field 'modle'"),
        (json.dumps(asdict(Config()) | {"data": [3]}), r"its data is \[3\]"),
        (json.dumps({"data": {}}), r"its model is None"),
        ("{}", "not a run's config: its data is None"),
        ("[]", r"not a run's config: \[\]"),
        ("null", "not a run's config: None"),
        ("", "not a run's config: Expecting value"),
        ('{"data": {}, "data": {}}', "it has 'data' twice"),
        (changed("train").replace('"seed": 0', '"seed": 0, "seed": 1', 1), "it has 'seed' twice"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "not a run's config: .*digits"),
        (b"\xff\xfe\xfd", "not a run's config: .*decode"),
        (b'{"data": "\xe9"}', "not a run's config: .*decode"),
    ],
)
def test_anything_else_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        parse_config(text)
    assert len(str(refusal.value)) < 300


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_config(changed("data", root="~/set")).data.root == "/home/me/set"


def test_the_range_of_a_field_comes_before_what_it_is_used_for() -> None:
    with pytest.raises(UserError, match=r"method\.block is \(0, 2\)"):
        check(replace(Config(), method=MethodConfig(block=(0, 2))))


@pytest.mark.parametrize("name", ["pmm", "cutout", "random_mix", "easy_mix"])
def test_one_stage_leaves_nothing_to_mix(name: Any) -> None:
    with pytest.raises(UserError, match=rf"method\.stages 1 leaves {name} no stage"):
        check(Config(method=MethodConfig(name=name, stages=1)))


@pytest.mark.parametrize("name", ["none", "cutmix", "a_cutmix", "bdb", "baseline"])
def test_methods_of_images_and_those_of_one_head_take_one_stage(name: Any) -> None:
    check(Config(method=MethodConfig(name=name, stages=1)))


def test_bdb_leaves_a_row() -> None:
    method = MethodConfig(name="bdb", drop_ratio=0.97)
    check(Config(method=method))
    with pytest.raises(UserError, match=r"method\.drop_ratio 0\.98 drops all 24 rows"):
        check(Config(method=replace(method, drop_ratio=0.98)))
    flat = DataConfig(image_size=(16, 128), erase_size=8)
    with pytest.raises(UserError, match="drops all 1 rows"):
        check(Config(data=flat, method=MethodConfig(name="bdb")))
