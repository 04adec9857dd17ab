"""The server itself: many clients, slow ones, broken ones, and its end."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")

import httpx2

from pmm_jax.api import Model
from pmm_jax.errors import UserError
from pmm_jax.search.gallery import Gallery
from pmm_jax.serve import limits
from pmm_jax.serve.app import make_app
from pmm_jax.serve.server import listen
from tests.serve.running import Running, running
from tests.serve.toys import COUNT, encoded, pictures

HEAD = b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def server(model: Model, gallery: Gallery) -> Iterator[Running]:
    embed = model.embed

    def as_on_an_accelerator(*arguments: Any) -> np.ndarray:
        time.sleep(0.01)  # whatever the batch, so that a full one is worth while
        return embed(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "embed", as_on_an_accelerator)
        with running(make_app(model, gallery)) as server:
            yield server


def test_a_hundred_at_once_get_their_own_answers(
    server: Running, model: Model, gallery: Gallery
) -> None:
    count = 100
    images = pictures(count, seed=3)
    gate = threading.Barrier(count)

    many = httpx2.Limits(max_connections=count)
    with httpx2.Client(base_url=server.url, timeout=60, limits=many) as client:

        def ask(image: np.ndarray) -> tuple[int, Any]:
            gate.wait(30)
            answer = client.post("/api/search", files={"image": encoded(image)}, data={"top": 3})
            return answer.status_code, answer.json()

        with ThreadPoolExecutor(count) as threads:
            answers = list(threads.map(ask, images))
        text = client.get("/metrics").text
    assert {status for status, _ in answers} == {200}
    expected = gallery.search(model.embed(images, 4), 3)
    for (_, found), results in zip(answers, expected, strict=True):
        assert [one["path"] for one in found["results"]] == [one.path for one in results]
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines())
    assert float(figures["pmm_batch_images_sum{}"]) == count
    assert float(figures["pmm_batch_images_count{}"]) < count / 2  # most shared a call


def raw(server: Running, sent: bytes, seconds: float = 5) -> bytes:
    """What comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), seconds) as client:
        client.sendall(sent)
        found = b""
        while piece := client.recv(65536):
            found += piece
        return found


def test_what_is_no_http_is_refused_in_json(server: Running) -> None:
    for sent in (b"\x16\x03\x01\x00\xa5\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
        head, _, body = raw(server, sent).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert list(json.loads(body)) == ["error"]


def test_who_asks_nothing_is_hung_up(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEADER_SECONDS", 0.2)
    for sent in (b"", b"GET / HT", HEAD):
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError):  # either way of hanging up will do
            assert raw(server, sent) == b""
        assert time.monotonic() - started < 3


def test_a_form_that_never_ends_is_refused(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
    kind = b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 5) as client:
        client.sendall(HEAD + kind + b"\r\n--x\r\n")
        found = client.recv(65536)
    assert found.startswith(b"HTTP/1.1 408 ")
    # One that is cut off takes nobody along.
    with socket.create_connection(("127.0.0.1", server.port), 5) as client:
        client.sendall(HEAD + kind + b"\r\n--x\r\n")
    assert httpx2.get(f"{server.url}/healthz").json() == {"status": "ok"}


def test_a_length_that_is_a_lie_does_not_help(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_BODY", 1000)
    kind = b"Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (part, bytes(2000)))
    with socket.create_connection(("127.0.0.1", server.port), 5) as client:
        client.sendall(HEAD + kind + b"\r\n" + body)
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_the_end_waits_for_who_is_being_answered(
    model: Model, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slow_search(*arguments: Any) -> Any:
        begun.set()
        assert goes_on.wait(20)
        return Gallery.open(gallery.info().address).search(*arguments)

    with running(make_app(model, gallery)) as server, ThreadPoolExecutor(1) as threads:
        monkeypatch.setattr(gallery, "search", slow_search)
        fields = {"image": encoded(pictures(1)[0])}
        asked = threads.submit(httpx2.post, f"{server.url}/api/search", files=fields, timeout=20)
        assert begun.wait(20)
        server.stop()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # nobody else is let in
            try:
                socket.create_connection(("127.0.0.1", server.port), 1).close()
            except OSError:
                break
            time.sleep(0.02)
        assert not asked.done()
        goes_on.set()
        answer = asked.result(20)
        assert answer.status_code == 200
        assert len(answer.json()["results"]) == min(limits.DEFAULT_TOP, COUNT)
    listen("127.0.0.1", server.port).close()  # the port is free


def test_a_port_that_is_taken(server: Running) -> None:
    with pytest.raises(UserError, match=f"can't listen on 127.0.0.1, port {server.port}: Address"):
        listen("127.0.0.1", server.port)
    with pytest.raises(UserError, match=r"can't listen on no\.such\.name\.invalid, port 1: "):
        listen("no.such.name.invalid", 1)
