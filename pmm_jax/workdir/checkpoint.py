"""Checkpoints of a run: the newest, and the best by mAP. The one file that knows orbax.

    checkpoints/12         what orbax wrote after step 12
    checkpoints/12.json    its seal: a checksum of every file in it, config.json and metrics.jsonl
                           as they stood, and the step's evaluation, once there is one

The seal is written after the files were read back, and before orbax gives the folder its final
name: a folder of that name is whole, and any later change to it is found out.
"""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from pmm_jax.distributed.processes import is_first
from pmm_jax.errors import UserError
from pmm_jax.files import read_regular, sha256_of, write_atomic
from pmm_jax.model.pmm import Tree
from pmm_jax.runtime.log_filters import is_worth_logging
from pmm_jax.workdir.run_config import CONFIG
from pmm_jax.workdir.seal import CHECKPOINTS, Seal, read_seal, seal_path, sealed_steps

KEPT = 2
"""Number of newest checkpoints to keep; the second serves where the last is damaged."""
DAMAGED = ".damaged"
PARTIAL = ".orbax-checkpoint-tmp"
_SETTLING, _AWAY = 5.0, 0.2
"""Seconds that what a failed write left is removed for at most; that it has to stay away."""
_GLOB = "[]*?\\"
_NO_ROOM = ("No space left", "RESOURCE_EXHAUSTED", "Disk quota exceeded", "File too large")
_READING = (OSError, ValueError, KeyError, TypeError, RuntimeError)
"""Errors of orbax and tensorstore for a damaged file."""


class Dataclass(Protocol):
    """A dataclass of arrays, such as training's TrainState."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


State = TypeVar("State", bound=Dataclass)


class Checkpoints:
    """The checkpoints/ folder of a workdir; a context manager that finishes pending writes.

    Saving is asynchronous: the state is copied before `save` returns, so that it may be donated
    to the next step, and written behind the training.
    """

    def __init__(self, workdir: Path, read_only: bool = False) -> None:
        """`read_only` leaves alone what a run that is still training is just writing.

        Raises:
            UserError: checkpoints can't be written there.
        """
        self._workdir = workdir.absolute()
        self._folder = self._workdir / CHECKPOINTS
        self._pending = Seal({}, "")
        self._step = 0
        self._as_arrays: Any = {}
        self._writes = not read_only and is_first()
        self._failed = False
        if self._writes:
            self._make_folder()
        self._checkpointer = ocp.AsyncCheckpointer(
            ocp.StandardCheckpointHandler(),
            async_options=ocp.options.AsyncOptions(post_finalization_callback=self._finish),
            # What it notes of a commit it writes after the seal, and nobody reads it.
            checkpoint_metadata_store=ocp.metadata.metadata_store(enable_write=False),
        )

    def __enter__(self) -> "Checkpoints":
        # Another object than the command line's own filter, which stays when this one goes.
        self._filter = lambda record: is_worth_logging(record)
        logging.getLogger("absl").addFilter(self._filter)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # Where something went wrong already, a write that fails must not take its place.
            with contextlib.suppress(UserError) if kind else contextlib.nullcontext():
                self.settle()
        finally:
            self._checkpointer.close()
            if self._failed:
                self._remove_partial()
            logging.getLogger("absl").removeFilter(self._filter)

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint, None where there is none."""
        return max(sealed_steps(self._workdir), default=None)

    @property
    def best(self) -> int | None:
        """Step of the evaluated checkpoint with the highest mAP, None where there is none.

        Raises:
            UserError: a checkpoint is damaged.
        """
        tested = {step: self.seal(step).evaluation for step in sorted(sealed_steps(self._workdir))}
        scores = {step: result["mAP"] for step, result in tested.items() if result}
        return max(scores, key=lambda step: scores[step], default=None)

    def seal(self, step: int) -> Seal:
        """The seal of a checkpoint.

        Raises:
            UserError: it is damaged or gone.
        """
        seal = read_seal(self._workdir, step)
        if seal is None:
            raise self._damaged(
                step, f"{seal_path(self._workdir, step).name} is not as it was written"
            )
        return seal

    def newest_sound(self, info: Callable[[str], None]) -> int:
        """The newest checkpoint whose files are all as they were written; 0 where there is none.

        Damaged ones are set aside under another name.

        Args:
            info: called for each damaged checkpoint, with the one to restore instead.

        Raises:
            UserError: the folder can't be written.
        """
        sound, faults = 0, {}
        for step in sorted(sealed_steps(self._workdir), reverse=True):
            # Of the older ones the seal alone is checked: their files may never be needed.
            fault = self._fault(step, files=not sound)
            if fault:
                faults[step] = fault
            else:
                sound = sound or step
        for step, fault in faults.items():
            path = self._folder / str(step)
            aside = path.with_name(f"{step}{DAMAGED}")
            with self._told():
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
                seal_path(self._workdir, step).unlink(missing_ok=True)
            going = "it is not needed"
            if step > sound:
                going = f"going back to step {sound}" if sound else "there is none to go back to"
            info(f"warning: checkpoint {path} is damaged ({fault}); kept as {aside.name}, {going}")
        return sound

    def save(self, step: int, state: Dataclass, log: str = "") -> None:
        """Write the state after that many steps.

        A failure to write it, or a state with a number that is not finite, is raised here or by the
        next call of `save`, `add_evaluation` or `settle`; the checkpoints before it stay.

        Args:
            step: steps taken.
            state: what is saved.
            log: metrics.jsonl as it stands.

        Raises:
            UserError: it can't be written.
        """
        self.settle()
        if step == self.latest:
            return
        if is_first():
            self._prune()
        config = self._workdir / CONFIG
        text = read_regular(config).decode() if config.exists() else ""
        self._step, self._pending = step, Seal({}, log, text)
        parts = _parts(state)
        self._as_arrays = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), parts)
        with self._told():
            self._checkpointer.save(self._folder / str(step), args=ocp.args.StandardSave(parts))

    def add_evaluation(self, step: int, result: dict[str, Any]) -> None:
        """Note the evaluation of a step's checkpoint.

        Raises:
            UserError: it can't be written.
        """
        self.settle()
        if is_first():
            seal = self.seal(step)
            with self._told():
                sealed = replace(seal, evaluation=dict(result))
                write_atomic(seal_path(self._workdir, step), sealed.encode())

    def settle(self) -> None:
        """Wait for the checkpoint that is being written.

        Raises:
            UserError: it could not be.
        """
        with self._told():
            self._checkpointer.wait_until_finished()

    def restore(self, step: int, like: State) -> State:
        """Read a checkpoint into the shapes, dtypes and shardings of `like`.

        Raises:
            UserError: it is of another model.
        """
        target = ocp.args.StandardRestore(_abstract(_parts(like)))
        try:
            parts = self._checkpointer.restore(self._folder / str(step), args=target)
        except _READING as error:
            raise self._damaged(step, _one_line(error)) from error
        return replace(like, **parts)

    def restore_weights(
        self, step: int, like: tuple[Tree, Tree], averaged: bool = False
    ) -> tuple[Tree, Tree]:
        """Read parameters and statistics alone, leaving the optimizer's moments on disk.

        Args:
            step: of the checkpoint.
            like: shapes and dtypes of both.
            averaged: read the parameters' moving average in place of them.

        Raises:
            UserError: the checkpoint is damaged, or of another model.
        """
        fault = self._fault(step)
        if fault:
            raise self._damaged(step, fault)
        params, batch_stats = _abstract(like)
        name = "ema_params" if averaged else "params"
        target = {name: params, "batch_stats": batch_stats}
        args = ocp.args.PyTreeRestore(
            target,
            restore_args=ocp.checkpoint_utils.construct_restore_args(target),
            partial_restore=True,
        )
        try:
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
                restored = reader.restore(self._folder / str(step), args=args)
        except _READING as error:
            raise self._damaged(step, _one_line(error)) from error
        return restored[name], restored["batch_stats"]

    def identities(self, step: int) -> int:
        """Training identities of the model in a checkpoint, by the shape of its classifier.

        Raises:
            UserError: the checkpoint is damaged.
        """
        handler = ocp.PyTreeCheckpointHandler()
        try:
            tree = handler.metadata(epath.Path(self._folder / str(step))).tree
            return int(tree["params"]["stage1"]["classifier"]["bias"].shape[0])
        except _READING as error:
            raise self._damaged(step, _one_line(error)) from error
        finally:
            handler.close()

    def holds(self, step: int) -> bool:
        """Whether a checkpoint is still there; training removes older ones."""
        return step in sealed_steps(self._workdir)

    def _make_folder(self) -> None:
        # Orbax finds the parts that it has written by glob, and doesn't escape the path.
        special = [letter for letter in _GLOB if letter in str(self._folder)]
        if special:
            raise UserError(
                f"no checkpoint can be written under {self._folder.parent}: its path has a "
                f"{' and a '.join(special)}; use a --workdir whose whole path has none of {_GLOB}"
            )
        with self._told():
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.iterdir():  # what a kill left behind
                if PARTIAL in path.name:
                    shutil.rmtree(path)
                elif path.suffix == ".partial" or (
                    path.suffix == ".json" and not path.with_suffix("").is_dir()
                ):
                    path.unlink()

    def _fault(self, step: int, files: bool = True) -> str | None:
        """Fault of a checkpoint, None where there is none."""
        seal = read_seal(self._workdir, step)
        if seal is None:
            return f"{seal_path(self._workdir, step).name} is not as it was written"
        for name, digest in seal.files.items() if files else ():
            try:
                if sha256_of(self._folder / str(step) / name) != digest:
                    return f"{name} is not as it was written"
            except FileNotFoundError:
                return f"{name} is gone"
            except (OSError, UserError) as error:
                return f"{name} can't be read: {getattr(error, 'strerror', None) or error}"
        return None

    def _finish(self) -> None:
        """Read back what was written, and seal it; orbax calls this in the first process.

        Raises:
            UserError: the state holds a number that is not finite.
        """
        step = self._step
        folder = self._folder / f"{step}{PARTIAL}"
        handler = ocp.PyTreeCheckpointHandler()
        # Not by handler.metadata: tensorstore's to_json, which it calls, never frees what it gives.
        args = ocp.args.PyTreeRestore(self._as_arrays, restore_args=self._as_arrays)
        for path, value in jax.tree_util.tree_leaves_with_path(handler.restore(folder, args=args)):
            if not np.isfinite(value).all():
                name = jax.tree_util.keystr(path, simple=True, separator=".")
                raise UserError(
                    f"{name} holds a number that is not finite after step {step}, which is not "
                    "saved; lower optim.peak_lr or lengthen optim.warmup_epochs, in a new --workdir"
                )
        handler.close()
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        sums = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
        write_atomic(seal_path(self._workdir, step), replace(self._pending, files=sums).encode())

    def _prune(self) -> None:
        """Remove all but the newest and the best."""
        steps = sorted(sealed_steps(self._workdir))
        keep = {*steps[-KEPT:], self.best}
        for step in steps:
            if step not in keep:
                path = self._folder / str(step)
                # Renamed first: a folder that is half removed must not look like a checkpoint.
                removed = path.rename(path.with_name(f"{step}{PARTIAL}-removed"))
                seal_path(self._workdir, step).unlink(missing_ok=True)
                shutil.rmtree(removed)

    def _damaged(self, step: int, fault: str) -> UserError:
        return UserError(
            f"checkpoint {self._folder / str(step)} is damaged ({fault}); the run's train.py "
            "command goes back to the one before"
        )

    def _remove_partial(self) -> None:
        """Remove what a failed write left, until it stays away.

        Threads of orbax that nobody can wait for go on writing for a moment.
        """
        gone_since = time.monotonic()
        end = gone_since + _SETTLING
        while (now := time.monotonic()) < min(gone_since + _AWAY, end):
            for path in self._folder.glob(f"*{PARTIAL}"):
                shutil.rmtree(path, ignore_errors=True)
                gone_since = now
            time.sleep(0.01)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """An error of the disk, or of orbax on the way to it, as one line."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            self._failed = self._writes
            if self._failed:
                self._remove_partial()
            last = self.latest
            going = f"the checkpoint of step {last}" if last else "its first step"
            if any(words in str(error) for words in _NO_ROOM):
                raise UserError(
                    f"no room left on the disk of {self._folder}; free some, and the same command "
                    f"goes on from {going}"
                ) from error
            raise UserError(
                f"no checkpoint can be written to {self._folder} ({_one_line(error)}); fix that, "
                f"and the same command goes on from {going}"
            ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _parts(state: Dataclass) -> dict[str, Any]:
    """The fields that the run uses: one that came later doesn't close older checkpoints."""
    named = {field.name: getattr(state, field.name) for field in fields(state)}
    return {name: value for name, value in named.items() if value is not None}


def _abstract(tree: Any) -> Any:
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
