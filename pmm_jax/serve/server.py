"""The process that listens, from its first to its last request."""

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pmm_jax.errors import UserError
from pmm_jax.runtime.signals import SIGNALS
from pmm_jax.serve import limits


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, so that nobody else can take the port meanwhile.

    Raises:
        UserError: it can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UserError(
            f"can't listen on {host}, port {port}: {error.strerror or error}"
        ) from error
    return listening


class Server(uvicorn.Server):
    """Answers requests until a signal comes, and finishes those in flight.

    The signal is not raised anew, as uvicorn would: being told to end is no failure.
    """

    def __init__(self, app: ASGIApp, ready: Callable[[], None] = lambda: None) -> None:
        """Make a server; `ready` is called when it answers."""
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=_Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=limits.MAX_CONNECTIONS,
            timeout_graceful_shutdown=limits.SHUTDOWN_SECONDS,
        )
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Compile, listen, and say so."""
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Have each signal that ends a command end the server."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        """End; at the second time without waiting for anybody."""
        self.force_exit, self.should_exit = self.should_exit, True


class _Connection(H11Protocol):
    """A connection whose client has to ask in time, and is refused in JSON."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect_request()

    def send_400_response(self, msg: str) -> None:
        body = json.dumps({"error": msg}).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _expect_request(self) -> None:
        """Where none is being answered, its lines must come in whole before long."""
        if self._is_idle():
            self.loop.call_later(limits.HEADER_SECONDS, self._close_if_silent, self.cycle)

    def _close_if_silent(self, last: object) -> None:
        if self.cycle is last and self._is_idle():
            self.transport.abort()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete
