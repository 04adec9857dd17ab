"""A server that really listens, in a thread of this process."""

import contextlib
import threading
from collections.abc import Iterator

import pytest
from starlette.types import ASGIApp

from pmm_jax.serve.server import Server, listen


class Running:
    """A server and where it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._ready = threading.Event()
        self._server = Server(app, self._ready.set)
        self._listening = listen("127.0.0.1", 0)
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listening]}
        )

    def start(self) -> None:
        self.thread.start()
        assert self._ready.wait(60)

    def stop(self) -> None:
        self._server.should_exit = True


@contextlib.contextmanager
def running(app: ASGIApp) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        # Signals are the main thread's.
        patch.setattr(Server, "capture_signals", lambda _: contextlib.nullcontext())
        server = Running(app)
        server.start()
        try:
            yield server
        finally:
            server.stop()
            server.thread.join(20)
            assert not server.thread.is_alive()
