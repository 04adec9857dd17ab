"""pmm gallery create|add|remove|info GALLERY."""

from __future__ import annotations

from collections.abc import Sequence

from pmm_jax.cli.parsing import take_option, wants_help
from pmm_jax.embedding_table import ENDINGS, read_table
from pmm_jax.errors import UserError
from pmm_jax.files import printable, user_path

USAGE = """pmm gallery create GALLERY --model MODEL SOURCE
       pmm gallery add GALLERY [--model MODEL] SOURCE
       pmm gallery remove GALLERY (PATH... | --where CONDITION)
       pmm gallery info GALLERY"""

HELP = f"""usage: {USAGE}

GALLERY is a folder, or milvus://HOST:PORT/NAME (needs the extra `milvus`). SOURCE is a file that
pmm embed wrote, or what pmm embed takes. MODEL is a run's folder, a file that pmm export wrote, or
hf://OWNER/NAME; a gallery remembers it. An image whose path is in the gallery already is replaced.
CONDITION is such as 'camera == 3 and id in ["a", "b"]'.
"""


def gallery_command(arguments: Sequence[str]) -> None:
    """Dispatch to the action that the first argument names."""
    if wants_help(arguments):
        print(HELP, end="")
        return
    actions = {"create": _create, "add": _add, "remove": _remove, "info": _info}
    if len(arguments) < 2 or arguments[0] not in actions:
        raise UserError(f"gallery needs {', '.join(actions)} and a gallery; see pmm gallery --help")
    actions[arguments[0]](arguments[0], arguments[1], arguments[2:])


def _create(action: str, address: str, arguments: Sequence[str]) -> None:
    named, (source,) = _words(action, arguments, "--model", 1)
    if named is None:
        raise UserError("gallery create needs --model MODEL, which embeds images and queries")
    from pmm_jax.api import load_any
    from pmm_jax.display import Display
    from pmm_jax.embedding.embed_source import embedding_table_of
    from pmm_jax.search.gallery import Gallery
    from pmm_jax.search.model import maker_of

    model, display = load_any(named), Display()
    table = embedding_table_of(source, model, display)
    with display.bar("gallery", len(table)) as bar:
        info = Gallery.create(address, table, maker_of(model, named), bar.advance).info()
    display.info(f"{info.images} images in {printable(address)}")


def _add(action: str, address: str, arguments: Sequence[str]) -> None:
    named, (source,) = _words(action, arguments, "--model", 1)
    from pmm_jax.display import Display
    from pmm_jax.search.gallery import Gallery
    from pmm_jax.search.model import model_of

    display, gallery = Display(), Gallery.open(address)
    if source.endswith(ENDINGS):
        # It names its model itself.
        table = read_table(user_path(source))
    else:
        from pmm_jax.embedding.embed_source import embedding_table_of

        table = embedding_table_of(source, model_of(gallery, named), display)
    with display.bar("gallery", len(table)) as bar:
        added = gallery.add(table, bar.advance)
    display.info(
        f"{added.new} new images, {added.replaced} replaced; {gallery.info().images} in "
        f"{printable(address)}"
    )


def _remove(action: str, address: str, arguments: Sequence[str]) -> None:
    where, paths = _words(action, arguments, "--where")
    if where is None and not paths:
        raise UserError("gallery remove needs paths, or --where CONDITION")
    from pmm_jax.display import Display
    from pmm_jax.search.gallery import Gallery

    gallery = Gallery.open(address)
    removed = gallery.remove(paths, where)
    Display().info(
        f"{removed} images removed; {gallery.info().images} left in {printable(address)}"
    )


def _info(action: str, address: str, arguments: Sequence[str]) -> None:
    _words(action, arguments, None, 0)
    from pmm_jax.display import Display
    from pmm_jax.search.gallery import Gallery

    info, display = Gallery.open(address).info(), Display()
    columns = ", ".join(f"{name} ({kind})" for name, kind in info.columns.items())
    for name, value in (
        ("images", info.images),
        ("columns", columns),
        ("embedding", f"{info.length} numbers, {info.maker.distance} distance"),
        ("model", f"{info.maker.address} ({info.maker.fingerprint[:12]})"),
        ("created", info.created),
        ("version", info.version),
    ):
        display.info(f"{name:<11}{printable(str(value))}")


def _words(
    action: str, arguments: Sequence[str], option: str | None, count: int | None = None
) -> tuple[str | None, list[str]]:
    """The option's value, and the other words, of which there must be so many."""
    value, words = (None, list(arguments)) if option is None else take_option(arguments, option)
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        raise UserError(
            f"gallery {action} has no option {unknown[0][:100]}; see pmm gallery --help"
        )
    if count is not None and len(words) != count:
        raise UserError(
            f"gallery {action} takes a gallery and {count} word more, not {len(words)}; see pmm "
            "gallery --help"
        )
    return value, words
