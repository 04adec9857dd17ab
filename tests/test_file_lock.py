"""What the lock does where the system has none, or can't tell."""

import errno
import os
from pathlib import Path

import pytest

from pmm_jax import file_lock
from pmm_jax.errors import UserError


def answer(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let every request for a lock fail like this."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_lock.fcntl, "flock", flock)


def test_a_file_system_without_locks_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, errno.ENOLCK)
    (tmp_path / "lock").touch()
    said: list[str] = []
    with file_lock.file_lock(tmp_path / "lock", pytest.fail, said.append):
        said.append("inside")
    assert "without locks" in said[0]
    assert said[1:] == ["inside"]


def test_the_lock_is_taken_on_a_file_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over NFS an exclusive lock needs that; elsewhere nothing would show its absence."""
    monkeypatch.setattr(file_lock.fcntl, "flock", lambda file, _: modes.append(file.writable()))
    modes: list[bool] = []
    (tmp_path / "lock").write_text("content")
    with file_lock.file_lock(tmp_path / "lock", pytest.fail, pytest.fail):
        pass
    assert modes == [True]
    assert (tmp_path / "lock").read_text() == "content"


def test_any_other_failure_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, errno.EIO)
    (tmp_path / "lock").touch()
    with (
        pytest.raises(UserError, match=r"can't lock .* another file system"),
        file_lock.file_lock(tmp_path / "lock", pytest.fail, pytest.fail),
    ):
        pytest.fail("it went on without the lock")
