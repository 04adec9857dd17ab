"""The training steps that benchmarks.step times, each in a process of its own that waits its turn.

Run by benchmarks.step: python -m benchmarks.step_worker NAME CONFIG IDENTITIES, CONFIG as JSON.
Every line on standard input requests one step; the answer is its seconds. At the end of input it
prints the peak memory: the device's where it reports one, else the process's.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, Literal, NamedTuple

from pmm_jax.comparison.one_step import Tuning, baseline_step, our_step
from pmm_jax.config import Config
from pmm_jax.config_check import parse_config
from pmm_jax.runtime import disable_async_dispatch, tune_malloc
from pmm_jax.runtime.children import tied
from pmm_jax.runtime.peak_rss import peak_rss, reset_peak_rss

OURS = ("pmm_jax", "pmm_jax without CAM", "pmm_jax stage I alone")
TORCH = ("PyTorch as released", "PyTorch through the heads")
TUNED = {
    "PyTorch, channels_last": Tuning(channels_last=True),
    "PyTorch, autocast": Tuning(channels_last=True, autocast=True),
    "PyTorch, torch.compile": Tuning(channels_last=True, autocast=True, compiled=True),
}
"""Each with what the one before has; all through the heads."""


class Ready(NamedTuple):
    """A step to be called, and what is known about it."""

    step: Callable[[], None]
    facts: dict[str, Any]
    memory: Callable[[], int] = peak_rss
    """Peak memory so far, in bytes."""


def ours(name: str, config: Config, num_ids: int) -> Ready:
    """The jitted step without its random part, as the PyTorch steps have it."""
    tune_malloc()  # this and the next as a run does, ahead of jax's threads
    disable_async_dispatch()
    import jax

    if name == "pmm_jax without CAM":
        # No block is replaced, so XLA drops the CAMs, the ranking and the mixing.
        config = replace(config, method=replace(config.method, top_k=0))
    if name == "pmm_jax stage I alone":
        config = replace(config, method=replace(config.method, name="baseline"))
    step, compiled = our_step(config, num_ids)
    device = jax.devices()[0]
    costs = compiled.cost_analysis() or {}
    facts = {"flop": costs.get("flops"), "bytes": costs.get("bytes accessed")}
    facts |= {"device": device.device_kind, "jax": jax.__version__}
    on_device = device.memory_stats()
    if not on_device:
        return Ready(step, facts)
    return Ready(step, facts, lambda: device.memory_stats()["peak_bytes_in_use"])


def theirs(name: str, config: Config, num_ids: int) -> Ready:
    """The PyTorch baseline's step."""
    import torch

    on_gpu = torch.cuda.is_available()
    tuning = TUNED.get(name, Tuning())._replace(device="cuda" if on_gpu else "cpu")
    cam: Literal["released", "head"] = "released" if name == TORCH[0] else "head"
    step = baseline_step(config, num_ids, cam=cam, tuning=tuning)
    facts = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    return Ready(step, facts, torch.cuda.max_memory_allocated if on_gpu else peak_rss)


class StepWorker:
    """A process that runs one step at a time, seen from the benchmark."""

    def __init__(
        self, name: str, config: Config, num_ids: int, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment`: variables that this process has besides ours."""
        self.name = name
        self.seconds: list[float] = []
        words = [name, json.dumps(asdict(config)), str(num_ids)]
        self._process = subprocess.Popen(
            tied([sys.executable, "-m", "benchmarks.step_worker", *words]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Each takes what it needs: several share the device.
            env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", **(environment or {})},
        )
        self.facts = json.loads(self._request(None))

    def step(self, counted: bool = True) -> float:
        """One step's seconds."""
        seconds = float(self._request("step"))
        if counted:
            self.seconds.append(seconds)
        return seconds

    def close(self) -> int:
        """End the process; its peak memory in bytes."""
        output, _ = self._process.communicate()
        return int(output)

    def _request(self, word: str | None) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if word is not None:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"error: {self.name} ended with code {self._process.wait()}")
        return answer


def main(name: str, config: Config, num_ids: int) -> None:
    """Get ready, then a step for each line."""
    ready = (ours if name.startswith("pmm_jax") else theirs)(name, config, num_ids)
    reset_peak_rss()  # compiling is no part of a step
    print(json.dumps(ready.facts), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        ready.step()
        print(time.perf_counter() - started, flush=True)
    print(ready.memory())


if __name__ == "__main__":
    main(sys.argv[1], parse_config(sys.argv[2]), int(sys.argv[3]))
