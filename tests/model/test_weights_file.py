"""Weights files as strangers write them, and as we do: whole or not at all."""

import io
import json
import os
import re
import struct
import sys
import tarfile
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from pmm_jax import files
from pmm_jax.errors import UserError
from pmm_jax.model.weights_file import LARGEST, read_file, write_file

ONE = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_file(path, "give another file")
    message = str(caught.value)
    assert message.isprintable()
    assert "weights_only" not in message
    return message


def content(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def safetensors(header: Any, data: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize("name", ["r.safetensors", "model.pth.tar-60", "weights.npz", "resnet"])
def test_the_content_decides_not_the_ending(tmp_path: Path, name: str) -> None:
    save_file({"a": np.arange(3, dtype=np.float32)}, tmp_path / name)
    np.testing.assert_array_equal(read_file(tmp_path / name, "")["a"], [0, 1, 2])


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.ones(2))
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"hello there", "neither a safetensors nor a PyTorch file"),
        (b"\0" * 1000, "neither a safetensors nor a PyTorch file"),
        (b"\n<!DOCTYPE html><html>", "failed download"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\x80\x04\x95\x0b\0\0\0\0\0\0\0", "a pickle, which could execute code"),
        (b"\x80\x02cposix\nsystem\nq\0.", "a pickle, which could execute code"),
        (b"\x1f\x8b\x08", "unpack it"),
        (b"\x93NUMPY\x01\0", "array of NumPy"),
        (tar(), "tar archive"),
    ],
)
def test_what_is_no_weights_file_says_what_it_is(tmp_path: Path, data: bytes, said: str) -> None:
    for name in ("r.safetensors", "r.pth"):
        assert said in refusal(content(tmp_path / name, data))


@pytest.mark.parametrize(
    "data",
    [
        safetensors(ONE, b"\0" * 4, length=2**31),
        safetensors(ONE, b"\0" * 4, length=1000),
        safetensors(ONE, b"\0" * 4, length=3),
        safetensors(ONE, b"\0" * 3),
        safetensors(ONE, b"\0" * 8),
        safetensors(ONE | {"b": ONE["a"]}, b"\0" * 4),
        safetensors(ONE | {"b": entry("F32", [1], 2, 6)}, b"\0" * 6),
        safetensors({"a": entry("F32", [2**62, 2**62], 0, 4)}, b"\0" * 4),
        safetensors({"a": entry("F32", [-1], 0, 4)}, b"\0" * 4),
        safetensors({"a": entry("F32", [1], 4, 0)}, b"\0" * 4),
        safetensors({"a": entry("Q8", [4], 0, 4)}, b"\0" * 4),
        safetensors(b'{"a": 1}', b""),
        safetensors(b'{"a": ' + b"[" * 100_000, b""),
    ],
    ids=range(13),
)
def test_a_header_that_lies_is_one_line(tmp_path: Path, data: bytes) -> None:
    assert "as safetensors" in refusal(content(tmp_path / "r.safetensors", data))


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    text = json.dumps(ONE)[:-1] + ", " + json.dumps(ONE)[1:]
    assert "two entries a;" in refusal(
        content(tmp_path / "r.safetensors", safetensors(text.encode(), b"\0" * 4))
    )


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F4", "C64"])
def test_numbers_that_can_not_be_weights_are_refused_by_name(tmp_path: Path, dtype: str) -> None:
    header = {
        "layer1.\x1b[2J": entry(
            dtype, [16 if dtype == "F4" else 8 // (8 if dtype == "C64" else 1)], 0, 8
        )
    }
    message = refusal(content(tmp_path / "r.safetensors", safetensors(header, b"\0" * 8)))
    assert rf"layer1.\x1b[2J is of type {dtype}; save it as a plain float32" in message


def test_a_shape_with_a_side_of_zero_is_refused_by_name(tmp_path: Path) -> None:
    header = {"a": entry("F32", [2**62, 0], 0, 0)}
    assert "a has the shape" in refusal(
        content(tmp_path / "r.safetensors", safetensors(header, b""))
    )


def test_half_precision_comes_as_float32(tmp_path: Path) -> None:
    data = safetensors(
        {"a": entry("BF16", [2], 0, 4), "b": entry("F16", [1], 4, 6)}, b"\x80\x3f\0\xc0\0\x3c"
    )
    read = read_file(content(tmp_path / "r.safetensors", data), "")
    assert {value.dtype for value in read.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(read["a"], [1, -2])
    np.testing.assert_array_equal(read["b"], [1])


@pytest.mark.parametrize("name", ["r.safetensors", "r.pth", "r.npz"])
def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "is a named pipe" in refusal(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    assert "is a device" in refusal(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert "is a folder" in refusal(tmp_path / name)


def test_a_file_beyond_any_network_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "r.safetensors").open("wb") as file:
        file.truncate(LARGEST + 1)
    assert "more than any network" in refusal(tmp_path / "r.safetensors")


@pytest.mark.parametrize("version", [None, "2.5.1+cpu"])
def test_without_a_safe_torch_the_hint_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    torch = types.SimpleNamespace(__version__=version) if version else None
    monkeypatch.setitem(sys.modules, "torch", torch)
    said = "needs torch 2.6 or newer, not 2.5.1" if version else ' "pmm_jax[torch]", or convert'
    assert said in refusal(content(tmp_path / "r.pth", b"PK\x03\x04"))
    with pytest.raises(UserError, match=re.escape(said)):
        write_file(tmp_path / "w.pth", {"a": np.ones(2)})
    assert not (tmp_path / "w.pth").exists()


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    write_file(path, {"a": np.ones(2, np.float32)})
    before = path.read_bytes()
    (tmp_path / f"r.safetensors.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"can't write .*: No space left on device$"):
        write_file(path, {"a": np.zeros(2, np.float32)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["r.safetensors"]


def test_what_reads_back_differently_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.Path, "read_bytes", lambda self: b"other")
    with pytest.raises(UserError, match="reads back differently"):
        write_file(tmp_path / "r.safetensors", {"a": np.ones(2, np.float32)})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_flipped_bit_of_a_file_that_we_wrote_is_found(tmp_path: Path, name: str) -> None:
    if name.endswith(".pth"):
        pytest.importorskip("torch")
    path, values = tmp_path / name, np.random.default_rng(0).normal(size=64).astype(np.float32)
    write_file(path, {"a.b": values, "c": np.arange(3)})
    whole = path.read_bytes()
    place = whole.index(values.tobytes()[40:60])
    content(path, bytes([*whole[:place], whole[place] ^ 1, *whole[place + 1 :]]))
    assert "damaged" in refusal(path)


def test_a_safetensors_file_of_others_needs_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": np.ones(2, np.float32)}, path, metadata={"format": "pt"})
    np.testing.assert_array_equal(read_file(path, "")["a"], [1, 1])


def test_a_changed_type_of_a_file_that_we_wrote_is_found(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_file(path, {"a": np.ones(2, np.float32)})
    content(path, path.read_bytes().replace(b'"F32"', b'"I32"'))
    assert "damaged" in refusal(path)
