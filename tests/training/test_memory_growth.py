"""A long run holds no more memory than a short one."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pmm_jax.config import Config
from pmm_jax.training import loop
from pmm_jax.training.step import make_step

BEFORE, STEPS = 200, 2000


def resident() -> int:
    """Bytes that this process holds."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="resident memory as Linux tells it"
)
def test_2000_steps_grow_by_less_than_2_percent(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    def make(*arguments: Any) -> Any:
        step = make_step(*arguments)

        def run(*inputs: Any) -> Any:
            held.append(resident())
            return step(*inputs)

        return run

    monkeypatch.setattr(loop, "make_step", make)
    epochs = (BEFORE + STEPS) // 2
    quiet = replace(tiny.train, log_every=50, evaluate_every=0, checkpoint_every=200)
    config = replace(tiny, train=replace(quiet, epochs=epochs))
    loop.train(config, tmp_path)
    assert len(held) == BEFORE + STEPS
    megabytes = [round(count / 1e6) for count in (held[BEFORE], held[-1])]
    print(f"resident after {BEFORE} steps and at the end: {megabytes} MB")
    assert held[-1] < 1.02 * held[BEFORE]
