"""Files from strangers: refused in one line, before memory is taken for what they claim to hold."""

import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.npz import array_names, read_npz

PLAIN = np.arange(600.0).reshape(20, 30)


def header(shape: tuple[int, ...], descr: Any = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"shape": shape, "fortran_order": False, "descr": descr}
    )
    return stream.getvalue()


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


def plain(compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(stream, allow_pickle=False, x=PLAIN, names=np.array(["a", "b"]))
    return stream.getvalue()


def written(folder: Path, content: bytes) -> Path:
    path = folder / "a.npz"
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            read_npz(path, ["x"], "a file of x")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("compressed", [False, True])
def test_what_numpy_writes_is_read(tmp_path: Path, compressed: bool) -> None:
    path = written(tmp_path, plain(compressed))
    assert array_names(path, "") == {"x", "names"}
    found = read_npz(path, ["x", "names"], "")
    np.testing.assert_array_equal(found["x"], PLAIN)
    assert found["names"].tolist() == ["a", "b"]


HUGE = [(2**40,), (2**62, 2**62), (10**30,), (2**31, 2**31), (1, 2**50), (-1,), (-(2**40), -2)]


@pytest.mark.parametrize("shape", HUGE, ids=str)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_shape_beyond_the_file_is_refused(
    tmp_path: Path, shape: tuple[int, ...], method: int
) -> None:
    content = archive(("x.npy", header(shape) + bytes(4096)), method=method)
    assert "says that it has shape" in refusal(written(tmp_path, content))


def test_a_size_that_the_directory_claims_is_not_believed(tmp_path: Path) -> None:
    size = 2**31 - 256
    top = header((size // 8,))
    content = bytearray(archive(("x.npy", top + bytes(64))))
    claimed, real = (len(top) + size).to_bytes(4, "little"), (len(top) + 64).to_bytes(4, "little")
    assert content.count(real) >= 2
    # In the directory alone the member is as long as its header says.
    at = content.rindex(b"PK\x01\x02") + 24
    content[at : at + 4] = claimed
    assert "another number of bytes" in refusal(written(tmp_path, bytes(content)))


def test_a_bomb_is_refused_by_the_memory_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 1 << 20
    content = archive(("x.npy", header((count,)) + bytes(8 * count)), method=zipfile.ZIP_DEFLATED)
    path = written(tmp_path, content)
    assert len(read_npz(path, ["x"], "")["x"]) == count
    monkeypatch.setattr("pmm_jax.npz.memory", lambda: 8 * count - 1)
    assert "x take 0.0 GiB, and this machine has 0.0 GiB" in refusal(path)


@pytest.mark.parametrize(
    ("words", "content"),
    [
        ("holds x twice", archive(("x.npy", b""), ("y.npy", b""), ("x", b""))),
        ("x is not an array", archive(("x", b"hello"))),
        ("x can't be read as a plain array", archive(("x.npy", b"hello"))),
        ("x can't be read as a plain array", archive(("x.npy", b""))),
        ("pickled objects", archive(("x.npy", header((1,), "|O") + b"cos\nsystem\n"))),
        ("holds records", archive(("x.npy", header((1,), [("a", "<f8")]) + bytes(8)))),
        ("npy version 3.0", archive(("x.npy", b"\x93NUMPY\x03\x00" + header((1,))[8:]))),
        ("npy version 9.9", archive(("x.npy", b"\x93NUMPY\x09\x09" + header((1,))[8:]))),
        ("its header is damaged", archive(("x.npy", b"\x93NUMPY\x01\x00\x08\x00{[(' }  "))),
        ("doesn't write", archive(("x.npy", header((1,)) + bytes(8)), method=zipfile.ZIP_LZMA)),
        ("lacks x", archive()),
        ("is not an npz file", b"hello"),
    ],
)
def test_no_plain_array(tmp_path: Path, words: str, content: bytes) -> None:
    assert words in refusal(written(tmp_path, content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(tmp_path: Path) -> None:
    top = header((1,))
    content = archive(("x.npy", top + bytes(8)), ("x.npy", top + bytes(8)))
    assert "holds x twice" in refusal(written(tmp_path, content))


def test_a_changed_byte_of_an_array_is_noticed(tmp_path: Path) -> None:
    content = bytearray(plain())
    at = content.index(PLAIN[7].tobytes())
    content[at] ^= 1
    assert "is damaged (Bad CRC-32" in refusal(written(tmp_path, bytes(content)))


@pytest.mark.parametrize("compressed", [False, True])
def test_any_damage_is_one_line_or_does_no_harm(tmp_path: Path, compressed: bool) -> None:
    whole = plain(compressed)
    rng = np.random.default_rng(0)
    refused = 0
    for case in range(400):
        content = bytearray(whole)
        for at in rng.integers(0, len(content), 1 + case % 3):
            content[at] = rng.integers(256)
        if case % 4 == 0:
            del content[int(rng.integers(len(content))) :]
        path = written(tmp_path, bytes(content))
        try:
            found = read_npz(path, ["x"], "")["x"]
        except UserError as error:
            refused += 1
            if "\n" in str(error):
                raise
        else:
            np.testing.assert_array_equal(found, PLAIN)
    assert 100 < refused < 400


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("is a named pipe", os.mkfifo),
        ("is a folder", Path.mkdir),
        ("is a device", lambda path: path.symlink_to("/dev/zero")),
        ("No such file", lambda path: None),
    ],
)
def test_only_regular_files_are_opened(
    tmp_path: Path, words: str, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "a.npz")
    assert words in refusal(tmp_path / "a.npz")
