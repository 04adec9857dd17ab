"""A run that starts from a trained model: what is taken, what stays new, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Kind, create_network
from pmm_jax.model.torch_checkpoint import state_dict
from pmm_jax.model.weights_file import write_file
from pmm_jax.training.initial import Initial, read_initial

SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)


def trees(ids: int, seed: int, kind: Kind = "pmm", sizes: ModelConfig = SIZES) -> tuple[Any, Any]:
    return init_params(create_network(sizes, kind, ids), seed)


def values(tree: Any) -> dict[str, np.ndarray]:
    return {".".join(path): np.asarray(value) for path, value in flatten_dict(tree).items()}


@pytest.mark.parametrize(
    ("ids", "theirs", "ours", "new"),
    [
        (5, "a", "a", False),
        (5, None, "a", False),
        (5, "a", "b", True),  # as many people, but others
        (7, None, "a", True),
    ],
)
def test_classifiers_of_other_people_stay_new(
    ids: int, theirs: str | None, ours: str, new: bool
) -> None:
    trained, fresh, said = trees(5, seed=1), trees(ids, seed=2), list[str]()
    params, stats = Initial("model", *trained, theirs).put_into(*fresh, ours, said.append)
    before, after, model = (values(tree) for tree in (fresh[0], params, trained[0]))
    for name, value in after.items():
        expected = before if new and "classifier" in name else model
        np.testing.assert_array_equal(value, expected[name])
    for name, value in values(stats).items():
        np.testing.assert_array_equal(value, values(trained[1])[name])
    assert ("stage1.classifier" in said[0]) is new


@pytest.mark.parametrize(
    ("kind", "sizes", "said"),
    [
        ("bdb", SIZES, "set method.name"),
        (
            "pmm",
            ModelConfig(stage_sizes=(1, 1, 1, 2), width=0.125, embedding_size=16),
            "set method.name",
        ),
        ("pmm", ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=8), "has shape"),
        ("pmm", ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.25, embedding_size=16), "has shape"),
    ],
)
def test_another_network_is_refused(kind: Kind, sizes: ModelConfig, said: str) -> None:
    model = Initial("model", *trees(5, 1))
    with pytest.raises(UserError, match=f"--init-from model: .*{said}"):
        model.put_into(*trees(5, 2, kind, sizes), None, print)


def test_a_weights_file_is_a_model_too(tmp_path: Path) -> None:
    trained = trees(5, 1)
    write_file(tmp_path / "model.safetensors", state_dict(*trained))
    found = read_initial(str(tmp_path / "model.safetensors"))
    for name, value in values(found.params).items():
        np.testing.assert_array_equal(value, values(trained[0])[name])
    assert found.data is None
    assert found.digest == Initial("", *trained).digest != Initial("", *trees(5, 2)).digest


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        read_initial(str(tmp_path / "none"))
    with pytest.raises(UserError, match="holds no run"):
        read_initial(str(tmp_path))
    write_file(tmp_path / "trunk.safetensors", state_dict(*trees(0, 1, "trunk")))
    with pytest.raises(UserError, match=r"bare ResNet-50; give it as --model\.weights"):
        read_initial(str(tmp_path / "trunk.safetensors"))
