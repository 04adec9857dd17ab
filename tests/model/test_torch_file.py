"""PyTorch's files: whatever is in them, nothing is executed, and the model's state is found."""

import argparse
import logging
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="only needed to read .pth files")

from pmm_jax.model.weights_file import read_file  # noqa: E402
from tests.model.test_weights_file import refusal  # noqa: E402

X = torch.arange(6.0).reshape(2, 3)
NEW_AND_OLD = pytest.mark.parametrize("zipped", [True, False])


def saved(path: Path, value: Any, zipped: bool = True) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


class Code:
    """Pickles as a call that would create a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.trace,)


@NEW_AND_OLD
@pytest.mark.parametrize("name", ["model.pth.tar-60", "r.pth", "r.safetensors"])
def test_the_content_decides_not_the_ending(tmp_path: Path, name: str, zipped: bool) -> None:
    read = read_file(saved(tmp_path / name, {"a": X}, zipped), "")
    np.testing.assert_array_equal(read["a"], X)


STATE = {"a": X}
OTHER = {"a": X + 1}
OPTIMIZER = {"state": {0: {"step": X, "exp_avg": X}}, "param_groups": [{"lr": 1.0, "params": [0]}]}


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        ({"state_dict": STATE, "epoch": 60, "rank1": np.float32(0.9), "optimizer": OPTIMIZER}, ""),
        ({"model": STATE, "optimizer": OPTIMIZER, "best": np.float64(0.5), "a": X.sum()}, ""),
        ({"net": STATE, "args": argparse.Namespace(lr=1.0), "cmc": np.ones(3)}, ""),
        ({"model": {"state_dict": STATE, "name": "x"}, "scheduler": {"last_epoch": 3}}, ""),
        ({"whatever": STATE, "epoch": 1}, ""),
        ({"student": OTHER, "teacher": STATE, "dino_loss": {"center": X}}, "student, dino_loss"),
        ({"model": OTHER, "model_ema": STATE}, "read model_ema; left out model"),
        ({"state_dict": {"a": torch.nn.Parameter(X)}}, ""),
    ],
    ids=range(8),
)
@NEW_AND_OLD
def test_the_models_state_is_found_in_a_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, checkpoint: dict, said: str, zipped: bool
) -> None:
    caplog.set_level(logging.WARNING)
    read = read_file(saved(tmp_path / "r.pth", checkpoint, zipped), "")
    np.testing.assert_array_equal(read["a"], X)
    assert said in caplog.text
    assert len(caplog.messages) == bool(said)


def own_loop() -> dict:
    loop: dict = {}
    loop["model"] = loop
    return loop


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([X], "but a list"),
        (X, "but a Tensor"),
        ({"epoch": 1, **STATE}, "(epoch is a int)"),
        ({1: X}, "is no dictionary of tensors"),
        ({"state_dict": {"epoch": 1, **STATE}}, "(epoch is a int)"),
        ({"one": STATE, "two": STATE}, "several states (one, two)"),
        (own_loop(), "is no dictionary of tensors"),
    ],
    ids=range(7),
)
def test_other_contents_are_refused(tmp_path: Path, value: Any, said: str) -> None:
    message = refusal(saved(tmp_path / "r.pth", value))
    assert said in message
    assert "save model.state_dict() alone" in message


@NEW_AND_OLD
def test_code_is_refused_by_name_and_never_run(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "ran"
    path = saved(tmp_path / "r.pth", {"a": X, "code": Code(trace)}, zipped)
    assert "holds more than tensors (posix.mkdir: code" in refusal(path)
    path = saved(tmp_path / "r.pth", torch.nn.Linear(2, 2), zipped)
    assert "holds more than tensors (torch.nn.modules.linear.Linear: code" in refusal(path)
    assert not trace.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_pickle_is_refused_and_never_run(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "ran"
    (tmp_path / "r.pth").write_bytes(pickle.dumps(Code(trace), protocol))
    refusal(tmp_path / "r.pth")
    assert not trace.exists()


ODD: dict[str, Callable[[], Any]] = {
    "meta": lambda: X.to("meta"),
    "quantized": lambda: torch.quantize_per_tensor(X, 0.1, 0, torch.qint8),
    "conj": lambda: torch.ones(2, dtype=torch.complex64).conj(),
    "float8": lambda: X.to(torch.float8_e4m3fn),
    "sparse": lambda: X.to_sparse(),
    "nested": lambda: torch.nested.as_nested_tensor([X, X]),
    "expanded": lambda: torch.zeros(1).expand(10**7, 10**7),
}


# Torch announces that it will drop some of these: that is about making them, in the test alone.
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ODD)
def test_odd_tensors_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    message = refusal(saved(tmp_path / "r.pth", {"layer1.weight": ODD[kind]()}))
    assert ": layer1.weight " in message
    assert "save it as a plain float32 tensor" in message


def test_plain_numbers_of_every_layout_are_read(tmp_path: Path) -> None:
    state = {
        "half": X.half(),
        "bfloat16": X.bfloat16(),
        "double": X.double(),
        "negated": torch.complex(X, -X).conj().imag,
        "transposed": X.T.contiguous().T,
        "needs_grad": X.clone().requires_grad_(),
    }
    for name, value in read_file(saved(tmp_path / "r.pth", state), "").items():
        np.testing.assert_array_equal(value, X, err_msg=name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # as above
def test_torchscript_is_refused_with_our_own_advice(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "r.pt")
    assert "TorchScript archive" in refusal(tmp_path / "r.pt")


def test_other_archives_and_bombs_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", a=np.ones(2))
    assert "an npz file" in refusal(tmp_path / "weights.npz")
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "a zip archive" in refusal(tmp_path / "r.zip")
    with zipfile.ZipFile(tmp_path / "r.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("r/data.pkl", b"\0" * 10**6)
    assert "unpacks to more" in refusal(tmp_path / "r.pth")


def test_damage_is_one_line(tmp_path: Path) -> None:
    whole = {
        zipped: saved(tmp_path / "w.pth", {"a": X}, zipped).read_bytes() for zipped in (False, True)
    }
    path, read, refused = tmp_path / "r.pth", 0, 0
    rng = np.random.default_rng(0)
    for data in whole.values():
        for _ in range(60):
            torn = bytearray(data[: rng.integers(1, len(data))])
            flipped = bytearray(data)
            flipped[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            for damaged in (torn, flipped):
                path.write_bytes(damaged)
                try:
                    read_file(path, "")
                    read += 1
                except Exception:
                    refusal(path)
                    refused += 1
    assert refused > 120
