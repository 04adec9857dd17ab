"""Checkpoints of a paired run: both sides' states, and a line for each step."""

import io
import json
from pathlib import Path
from typing import Any

import torch

from pmm_jax.comparison.pair import Pair
from pmm_jax.comparison.paired_step import PairedStep
from pmm_jax.errors import UserError
from pmm_jax.files import open_regular, write_atomic
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.run_log import read_lines

STEPS = "steps.jsonl"


class PairCheckpoints:
    """checkpoints/ holds our state, baseline-STEP.pt the other's; a context manager."""

    def __init__(self, workdir: Path, pair: Pair) -> None:
        self._workdir, self._pair = workdir, pair
        self._ours = Checkpoints(workdir)
        self._previous = 0

    def __enter__(self) -> "PairCheckpoints":
        self._ours.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._ours.__exit__(kind, *rest)

    def restore(self) -> int:
        """Restore both sides; returns the steps already taken.

        Raises:
            UserError: the baseline's half of the checkpoint can't be read.
        """
        done = self._ours.newest_sound(print)
        if done:
            self._pair.state = self._ours.restore(done, self._pair.state)
            try:
                with open_regular(self._baseline(done)) as file:
                    saved = torch.load(file, weights_only=True)
                self._pair.baseline.load_state_dict(saved["model"])
                self._pair.optimizer.load_state_dict(saved["optimizer"])
            except Exception as error:  # gone, or whatever torch trips over in a damaged one
                raise UserError(
                    f"can't read {self._baseline(done)}, PyTorch's half of the checkpoint "
                    f"({type(error).__name__}); compare in a new --workdir"
                ) from error
        self._previous = done
        kept = [line for line in self.steps() if line["step"] <= done]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomic(self._workdir / STEPS, text.encode())
        return done

    def save(self, step: int) -> None:
        """Save both sides; ours last, so that a checkpoint of ours always has its other half."""
        saved = {
            "model": self._pair.baseline.state_dict(),
            "optimizer": self._pair.optimizer.state_dict(),
        }
        stream = io.BytesIO()
        torch.save(saved, stream)
        write_atomic(self._baseline(step), stream.getvalue())
        self._ours.save(step, self._pair.state)
        # Ours is written behind the training: until the next one, the one before may be the last.
        keep = {self._baseline(step), self._baseline(self._previous)}
        for path in self._workdir.glob("baseline-*.pt"):
            if path not in keep:
                path.unlink()
        self._previous = step

    def log(self, step: PairedStep) -> None:
        """Add a step's line."""
        line = {
            "step": step.number,
            "ours": step.ours,
            "baseline": step.baseline,
            "difference": step.difference,
            "other_blocks": step.other_blocks,
            "seconds": step.seconds,
        }
        with (self._workdir / STEPS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def steps(self) -> list[dict[str, Any]]:
        """All lines so far, up to one that a kill cut short."""
        return read_lines(self._workdir / STEPS)

    def _baseline(self, step: int) -> Path:
        return self._workdir / f"baseline-{step}.pt"
