"""Peak memory of a training step, each side in a process of its own.

python -m pmm_jax.comparison.memory ours|baseline WORKDIR IDENTITIES PRECISION
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pmm_jax.comparison.one_step import baseline_step, our_step
from pmm_jax.config import Config
from pmm_jax.errors import UserError
from pmm_jax.runtime import disable_async_dispatch, tune_malloc
from pmm_jax.runtime.children import tied
from pmm_jax.runtime.peak_rss import peak_rss
from pmm_jax.workdir.run_config import load_run_config

STEPS = 3


def peak_memory(side: str, workdir: Path, num_ids: int, precision: str) -> int:
    """Peak resident bytes of a process that takes three steps on random batches.

    Its interpreter and libraries count, as they do for a user.
    """
    arguments = [side, str(workdir), str(num_ids), precision]
    done = subprocess.run(
        tied([sys.executable, "-m", "pmm_jax.comparison.memory", *arguments]),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise UserError(f"the memory of {side} can't be measured: {reason}")
    return int(done.stdout)


def _take_steps(side: str, config: Config, num_ids: int, precision: str) -> None:
    if side == "baseline":
        _repeat(baseline_step(config, num_ids, precision))
        return
    # As the command line of a run does.
    tune_malloc()
    disable_async_dispatch()
    import jax

    with jax.enable_x64(precision == "float64"):
        _repeat(our_step(config, num_ids, precision)[0])


def _repeat(step: Callable[[], None]) -> None:
    for _ in range(STEPS):
        step()


if __name__ == "__main__":
    side, folder, identities, kind = sys.argv[1:]
    _take_steps(side, load_run_config(Path(folder)), int(identities), kind)
    print(peak_rss())
