"""MODEL on a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pmm_jax.api import Model


def load_model(source: str, checkpoint: str = "latest") -> Model:
    """The model that `pmm_jax.load` takes, or that of a file of weights alone (384x128 images).

    Args:
        source: as its user wrote it.
        checkpoint: `latest` or `best`, of a run.

    Raises:
        UserError: there is none.
    """
    from pmm_jax.api import load, load_torch
    from pmm_jax.model.weights_file import WeightsAlone

    try:
        return load(source, checkpoint)
    except WeightsAlone:
        return load_torch(source)
