"""Checkpoints of a run: the latest, and the best by mAP. The one file that knows orbax."""

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy

from pmm_jax.errors import UserError
from pmm_jax.model.pmm import Tree
from pmm_jax.training.state import TrainState

# Orbax warns of what is meant: between evaluations a checkpoint has no metrics, and a reader of a
# run leaves its folder alone.
_MEANT = ("did not provide metrics", "read_only=True", "directory is read only")
logging.getLogger("absl").addFilter(
    lambda record: not any(words in record.getMessage() for words in _MEANT)
)


class Checkpoints:
    """The checkpoints/ folder of a workdir; a context manager that finishes pending writes.

    Saving is asynchronous: the state is copied before `save` returns, so that it may be donated
    to the next step, and written behind the training. A checkpoint appears under its final name
    only when it is whole.
    """

    def __init__(self, workdir: Path, read_only: bool = False) -> None:
        """`read_only` leaves alone what a run that is still training is just writing."""
        self._folder = (workdir / "checkpoints").absolute()
        keep = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(1),
                preservation_policy.BestN(
                    get_metric_fn=lambda metrics: metrics["mAP"],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep,
            best_fn=lambda metrics: metrics["mAP"],
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.wait_until_finished()
        self._manager.close()

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint, None where there is none."""
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """Step of the evaluated checkpoint with the highest mAP, None where there is none."""
        return self._manager.best_step()

    def save(self, step: int, state: TrainState, metrics: dict[str, float] | None = None) -> None:
        """Write the state after that many steps, with its evaluation where there was one."""
        if step != self.latest:
            self._manager.save(step, args=ocp.args.StandardSave(_parts(state)), metrics=metrics)

    def restore(self, step: int, like: TrainState) -> TrainState:
        """Read a checkpoint into the shapes, dtypes and shardings of `like`.

        Raises:
            UserError: the checkpoint is damaged, or of another model.
        """
        parts = self._restore(step, ocp.args.StandardRestore(_abstract(_parts(like))))
        return TrainState(**parts)

    def restore_weights(
        self, step: int, like: tuple[Tree, Tree], averaged: bool = False
    ) -> tuple[Tree, Tree]:
        """Read parameters and statistics alone, leaving the optimiser's moments on disk.

        Args:
            step: of the checkpoint.
            like: shapes and dtypes of both.
            averaged: read the parameters' moving average in place of them.

        Raises:
            UserError: the checkpoint is damaged, or of another model.
        """
        params, stats = _abstract(like)
        name = "average" if averaged else "params"
        target = {name: params, "stats": stats}
        restored = self._restore(
            step,
            ocp.args.PyTreeRestore(
                target,
                restore_args=ocp.checkpoint_utils.construct_restore_args(target),
                partial_restore=True,
            ),
        )
        return restored[name], restored["stats"]

    def identities(self, step: int) -> int:
        """Training identities of the model in a checkpoint, by the shape of its classifier.

        Raises:
            UserError: the checkpoint is damaged.
        """
        handler = ocp.PyTreeCheckpointHandler()
        try:
            tree = handler.metadata(epath.Path(self._folder / str(step) / "default")).tree
            return int(tree["params"]["stage1"]["classifier"]["bias"].shape[0])
        except (ValueError, FileNotFoundError, KeyError, TypeError) as error:
            raise self._unreadable(step, error) from error
        finally:
            handler.close()

    def _restore(self, step: int, args: ocp.args.CheckpointArgs) -> Any:
        try:
            return self._manager.restore(step, args=args)
        except (ValueError, FileNotFoundError, KeyError) as error:
            raise self._unreadable(step, error) from error

    def _unreadable(self, step: int, error: Exception) -> UserError:
        reason = " ".join(str(error).split())[:200]
        return UserError(
            f"checkpoint {self._folder / str(step)} can't be read ({reason}); "
            "delete that folder to go on from an earlier one"
        )


def _parts(state: TrainState) -> dict[str, Any]:
    """The fields that the run uses: one that came later doesn't close older checkpoints."""
    named = {field.name: getattr(state, field.name) for field in fields(state)}
    return {name: value for name, value in named.items() if value is not None}


def _abstract(tree: Any) -> Any:
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
