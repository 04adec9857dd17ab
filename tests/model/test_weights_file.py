"""Weights that can't be written: one line, and nothing is left behind."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from pmm_jax.errors import UserError
from pmm_jax.model.weights_file import write_file


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk to offer")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="only needed to write .pth files")
    (tmp_path / ".r.pth.partial").symlink_to("/dev/full")
    assert_nothing_is_written(tmp_path / "r.pth")


def test_safetensors_own_error_is_one_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:  # safetensors puts a file of its own in the place of a full one
        raise safetensors.SafetensorError("No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    assert_nothing_is_written(tmp_path / "r.safetensors")


def assert_nothing_is_written(path: Path) -> None:
    with pytest.raises(UserError, match="can't write") as caught:
        write_file(path, {"a": np.ones(2, np.float32)})
    assert "\n" not in str(caught.value)
    assert list(path.parent.iterdir()) == []
