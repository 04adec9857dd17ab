"""MODEL on a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmm_jax.files import user_path

if TYPE_CHECKING:
    from pmm_jax.api import Model


def load_model(source: str, checkpoint: str = "latest") -> Model:
    """The model in a run's folder, or in a file of weights alone, of 384x128 images.

    Args:
        source: as its user wrote it.
        checkpoint: `latest` or `best`, of a run.

    Raises:
        UserError: there is none.
    """
    from pmm_jax.api import load, load_torch

    return load(source, checkpoint) if user_path(source).is_dir() else load_torch(source)
