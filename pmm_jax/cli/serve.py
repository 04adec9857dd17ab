"""pmm serve GALLERY."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from pmm_jax.cli.parsing import parse, wants_help
from pmm_jax.errors import UserError, missing_extra
from pmm_jax.fields import number, path
from pmm_jax.files import printable, read_regular

DESCRIPTION = (
    "GALLERY [options]: search a gallery in a browser, or by programs through its API. Without a "
    "token this machine alone is answered. The token is read from a file, or from PMM_TOKEN."
)
VARIABLE = "PMM_TOKEN"
SHORTEST_TOKEN = 16
"""Characters: nobody guesses that many."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Options:
    """Options of `pmm serve`."""

    port: int = number(8765, 0, 65_535)
    """TCP port; 0 takes a free one, and says which."""
    host: str = "127.0.0.1"
    """Address to listen on; any but this machine's own (127.0.0.1, localhost, ::1) needs a
    token."""
    token_file: str = path("")
    """File whose only line is the token that requests must bring."""
    model: str = path("")
    """Model that the gallery was made by; by default the one that the gallery names."""


def serve_command(arguments: Sequence[str]) -> None:
    """Parse, open the gallery, answer until a signal comes."""
    if not wants_help(arguments) and (not arguments or arguments[0][:1] in ("", "-")):
        raise UserError("serve needs a gallery: pmm serve GALLERY [options]")
    rest = arguments if wants_help(arguments) else arguments[1:]
    options = parse(Options(), rest, DESCRIPTION, "pmm serve")
    token = read_token(options.token_file)
    if token is None and options.host not in LOOPBACK:
        raise UserError(
            f"--host {printable(options.host)} lets other machines in, which needs a token: write "
            f"one to a file (openssl rand -hex 32 > token) and give --token-file, or set {VARIABLE}"
        )
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise missing_extra("pmm serve", "serve") from error
    from pmm_jax.runtime import set_up_training
    from pmm_jax.serve.server import listen

    set_up_training()
    # First: a port that is taken needs no model.
    with listen(options.host, options.port) as listening:
        _serve(arguments[0], options, token, listening)


def _serve(address: str, options: Options, token: str | None, listening: socket.socket) -> None:
    from threadpoolctl import threadpool_limits

    from pmm_jax.display import Display
    from pmm_jax.search.gallery import Gallery
    from pmm_jax.search.model import model_of
    from pmm_jax.serve.app import make_app
    from pmm_jax.serve.server import Server

    display, gallery = Display(), Gallery.open(address)
    model = model_of(gallery, options.model or None)
    app = make_app(model, gallery, token)
    host = f"[{options.host}]" if ":" in options.host else options.host
    display.info("compiling and reading the gallery")
    place = f"http://{host}:{listening.getsockname()[1]}/"
    about = f"{gallery.info().images:,} images at {place} (Ctrl-C ends it)"
    # Ranking settles a few near images in BLAS, whose other threads would spin on the cores that
    # the model needs.
    with threadpool_limits(1, user_api="blas"):
        Server(app, lambda: display.info(about)).run(sockets=[listening])
    display.info("ended")


def read_token(file: str) -> str | None:
    """The token in a file, or in the environment; None where there is neither.

    Raises:
        UserError: it can't be read, or is none.
    """
    if file:
        try:
            text = read_regular(file).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it holds other characters than ASCII"
            raise UserError(f"--token-file {printable(file)}: {reason}") from error
        source = f"--token-file {printable(file)}"
    elif VARIABLE in os.environ:
        text, source = os.environ[VARIABLE], VARIABLE
    else:
        return None
    is_token = text.isascii() and text.isprintable() and " " not in text
    if not is_token or len(text) < SHORTEST_TOKEN:
        raise UserError(
            f"{source} must hold a token of at least {SHORTEST_TOKEN} printable ASCII characters "
            "without spaces, such as openssl rand -hex 32 prints"
        )
    return text
