"""Files that are no files, files that can't be finished, and names that talk to the terminal."""

import os
import socket
from pathlib import Path

import pytest

from pmm_jax.errors import UserError
from pmm_jax.files import naming, open_regular, printable, read_regular, sha256_of, write_atomic


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        # A socket can't even be opened; the system says so.
        with pytest.raises(OSError, match=r"s'?$"):
            open_regular(tmp_path / "s")
    for path, kind in ((tmp_path / "pipe.jpg", "a named pipe"), (tmp_path, "a folder")):
        with pytest.raises(UserError, match=kind):
            open_regular(path)
    with pytest.raises(UserError, match="a device"):
        open_regular("/dev/zero")
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none")


def test_a_link_to_a_regular_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "link") == b"abc"
    assert sha256_of(tmp_path / "link").startswith("ba7816bf")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"first")

    class Odd:
        """No bytes."""

    with pytest.raises(TypeError):
        write_atomic(path, Odd())  # type: ignore[arg-type]
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_disk_that_is_full_is_named() -> None:
    with (
        pytest.raises(OSError, match="No space left") as end,
        naming(Path("run/log")),
        open("/dev/full", "wb", buffering=0) as file,
    ):
        file.write(b"x")
    assert end.value.filename == "run/log"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 人.jpg", "plain é 人.jpg"),
        ("a\nerror: forged", r"a\nerror: forged"),
        ("\x1b[2Jx", r"\x1b[2Jx"),
        ("\udcff.jpg", r"\udcff.jpg"),
        ("right\u202eleft", r"right\u202eleft"),
        ("\x00\x9b", r"\x00\x9b"),
    ],
)
def test_names_print_without_control_characters(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()
