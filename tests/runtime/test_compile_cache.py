"""Where compiled programs are kept, and that a second process finds them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pmm_jax.runtime.compile_cache import VARIABLE, enable_compile_cache


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_folder_is_made_under_the_users_cache(tmp_path: Path) -> None:
    enable_compile_cache()
    folder = Path(os.environ[VARIABLE])
    assert folder.parent == tmp_path / "cache" / "pmm_jax"
    assert folder.is_dir()


def test_what_the_environment_names_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "elsewhere")
    enable_compile_cache()
    assert os.environ[VARIABLE] == "elsewhere"


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cache")
    enable_compile_cache()
    assert Path(os.environ[VARIABLE]).parent == tmp_path / "home" / "cache" / "pmm_jax"
    monkeypatch.setenv(VARIABLE, "~/compiled")
    enable_compile_cache()
    assert os.environ[VARIABLE] == str(tmp_path / "home" / "compiled")


def test_where_no_folder_can_be_made_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    enable_compile_cache()
    assert VARIABLE not in os.environ


def test_a_second_process_compiles_nothing(project: Path) -> None:
    script = (
        "from pmm_jax.runtime.compile_cache import enable_compile_cache; enable_compile_cache()\n"
        "import jax\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
        "hits = []\n"
        "jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))\n"
        "jax.jit(lambda x: jax.numpy.sin(x) @ x)(jax.numpy.ones((8, 8)))\n"
        "print(hits.count('/jax/compilation_cache/cache_hits'),"
        " hits.count('/jax/compilation_cache/cache_misses'))"
    )
    counts = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=project, check=True, capture_output=True, text=True
        )
        counts.append([int(word) for word in done.stdout.split()])
    (first_hits, first_misses), (second_hits, second_misses) = counts
    assert first_hits == second_misses == 0
    assert second_hits == first_misses > 0
