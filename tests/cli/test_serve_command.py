"""pmm serve refuses before it loads anything."""

import socket
import sys
from pathlib import Path

import pytest

from tests.cli.entry import Program
from tests.extras import needs_serve

LONG = "0123456789abcdef"


@pytest.fixture(autouse=True)
def without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PMM_TOKEN", raising=False)


@needs_serve
def test_a_gallery_is_needed(refused: Program) -> None:
    assert "serve needs a gallery: pmm serve GALLERY" in refused("pmm_jax", "serve")
    assert "serve needs a gallery" in refused("pmm_jax", "serve", "--port", "1")
    assert "none is no gallery" in refused("pmm_jax", "serve", "none", "--port", "0")
    assert "port is 70000; it must lie between 0 and 65535" in refused(
        "pmm_jax", "serve", "none", "--port", "70000"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "reid.example"])
def test_other_machines_need_a_token(refused: Program, host: str) -> None:
    line = refused("pmm_jax", "serve", "none", "--host", host)
    assert f"--host {host} lets other machines in, which needs a token" in line
    assert "--token-file" in line


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "with some spaces in it", f"{LONG}\n\nb"])
def test_what_is_no_token(
    refused: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str
) -> None:
    Path("token").write_text(token)
    for words in (["--token-file", "token"], ["--token-file", "token", "--host", "0.0.0.0"]):
        line = refused("pmm_jax", "serve", "none", *words)
        assert "--token-file token must hold a token of at least 16" in line
        assert token not in line or not token
    monkeypatch.setenv("PMM_TOKEN", token)
    assert "PMM_TOKEN must hold a token" in refused("pmm_jax", "serve", "none")


def test_a_token_file_that_cannot_be_read(refused: Program) -> None:
    Path("token").write_bytes(b"\xff" * 20)
    assert "other characters than ASCII" in refused(
        "pmm_jax", "serve", "none", "--token-file", "token"
    )
    assert "--token-file gone: No such file" in refused(
        "pmm_jax", "serve", "none", "--token-file", "gone"
    )


@needs_serve
def test_with_a_token_other_machines_are_let_in(
    refused: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("token").write_text(f"{LONG}\n")
    words = ["none", "--host", "0.0.0.0", "--port", "0"]
    assert "none is no gallery" in refused("pmm_jax", "serve", *words, "--token-file", "token")
    monkeypatch.setenv("PMM_TOKEN", LONG)
    assert "none is no gallery" in refused("pmm_jax", "serve", *words)


@needs_serve
def test_a_port_that_is_taken_needs_no_gallery(refused: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused("pmm_jax", "serve", "none", "--port", port)
    assert f"can't listen on 127.0.0.1, port {port}: Address already in use" in line


def test_the_extra_is_named(refused: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    line = refused("pmm_jax", "serve", "none")
    assert line == 'error: pmm serve needs an extra: pip install "pmm_jax[serve]"'
