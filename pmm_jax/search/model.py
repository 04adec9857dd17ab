"""The model of a gallery."""

from __future__ import annotations

from pathlib import Path

from pmm_jax.api import Model, load_any
from pmm_jax.errors import UserError
from pmm_jax.files import printable, user_path
from pmm_jax.search.gallery import Gallery, Maker


def maker_of(model: Model, address: str) -> Maker:
    """What a gallery remembers of its model.

    Args:
        model: loaded.
        address: where from, as its user wrote it; a path is kept in full.

    Example:
        >>> from pmm_jax.search.model import maker_of
        >>> maker = maker_of(model, "runs/demo")
        >>> maker.distance, maker.fingerprint == model.fingerprint
        ('euclidean', True)
    """
    is_path = not address.startswith("hf:")
    where = str(Path(user_path(address)).absolute()) if is_path else address
    distance = "euclidean" if model.info is None else model.info.config.evaluate.distance
    return Maker(where, model.fingerprint, distance)


def model_of(gallery: Gallery, address: str | None = None) -> Model:
    """The model that made a gallery.

    Args:
        gallery: open.
        address: where it is now; where the gallery knows it by default.

    Raises:
        UserError: it can't be loaded, or is another model.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.embedding_table import read_table
        >>> from pmm_jax.search.gallery import Gallery
        >>> from pmm_jax.search.model import maker_of, model_of
        >>> table = read_table(Path("people.npz"))
        >>> people = Gallery.create("people2", table, maker_of(model, "runs/demo"))
        >>> model_of(people).fingerprint == model.fingerprint
        True
    """
    maker = gallery.info().maker
    where = address or maker.address
    try:
        model = load_any(where)
    except UserError as error:
        if address is not None:
            raise
        raise UserError(
            f"the gallery's model can't be loaded ({error}); say where it is: --model MODEL"
        ) from error
    gallery.check_model(model.fingerprint, printable(where))
    return model
