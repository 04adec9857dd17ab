"""The routes: the page, the API that it uses, and what watches the server."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pmm_jax.api import Model
from pmm_jax.errors import UserError
from pmm_jax.report.page import page_style
from pmm_jax.search.gallery import Gallery
from pmm_jax.serve import limits
from pmm_jax.serve.embedder import SIZES
from pmm_jax.serve.forms import Form, parse_filter, parse_integer, read_form
from pmm_jax.serve.guard import Guard, error
from pmm_jax.serve.metrics import Metrics
from pmm_jax.serve.openapi import describe
from pmm_jax.serve.service import Query, Service

MAX_ROW = 2**53
"""Largest number that JSON's readers keep."""
PAGE = Path(__file__).with_name("page")
_LATER = {"Retry-After": str(limits.RETRY_SECONDS)}


def make_app(
    model: Model,
    gallery: Gallery,
    token: str | None = None,
) -> ASGIApp:
    """The application; its lifespan compiles what requests need.

    Args:
        model: that the gallery was made by; its calibration, if it has one, decides.
        gallery: is searched.
        token: that requests must bring; without it only this machine is answered.
    """
    metrics = Metrics(SIZES)
    service = Service(model, gallery, metrics.batches.observe)
    metrics.queue_length = lambda: len(service.embeddings)
    routes = Routes(service, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await service.warm_up()
        yield
        service.close()

    app = Starlette(
        routes=routes.table(),
        exception_handlers={HTTPException: _refused, UserError: _unusable, Exception: _failed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return Guard(app, token, metrics.observe)


async def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, HTTPException)
    headers = dict(refusal.headers or {})
    return error(refusal.status_code, refusal.detail, headers)


async def _unusable(_: Request, refusal: Exception) -> Response:
    return error(400, str(refusal))


async def _failed(_: Request, failure: Exception) -> Response:
    return error(500, "the server failed; its log says why")


class Routes:
    """What each path answers."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service, self._metrics = service, metrics
        self._requests = 0

    def table(self) -> list[Route]:
        """Paths and their functions."""
        return [
            Route("/", self.page),
            Route("/page.js", self.script),
            Route("/page.css", self.style),
            Route("/api/gallery", self.about),
            Route("/api/images", self.images),
            Route("/api/images/{row}", self.picture),
            Route("/api/search", self.search, methods=["POST"]),
            Route("/api/explain", self.explain, methods=["POST"]),
            Route("/openapi.json", self.description),
            Route("/healthz", self.health),
            Route("/metrics", self.metrics),
        ]

    async def page(self, _: Request) -> Response:
        """The page; it holds nothing of the gallery."""
        return Response(_text("page.html"), media_type="text/html")

    async def script(self, _: Request) -> Response:
        """Its script."""
        return Response(_text("page.js"), media_type="text/javascript")

    async def style(self, _: Request) -> Response:
        """Its style: the report's, and its own."""
        return Response(f"{page_style()}\n{_text('page.css')}", media_type="text/css")

    async def about(self, _: Request) -> Response:
        """What the gallery holds."""
        info = await self._service.about()
        return JSONResponse(
            {
                "images": info.images,
                "columns": info.columns,
                "distance": info.maker.distance,
                "model": info.maker.fingerprint,
                "is_calibrated": self._service.model.calibration is not None,
            }
        )

    async def images(self, request: Request) -> Response:
        """Rows of the gallery, some at a time."""
        words = request.query_params
        found = await self._service.images(
            parse_filter(words.get("where", "")),
            parse_integer("start", words.get("start", "0"), 0, MAX_ROW),
            parse_integer("top", words.get("top", str(limits.DEFAULT_TOP)), 1, limits.MAX_TOP),
        )
        return JSONResponse(found)

    async def picture(self, request: Request) -> Response:
        """One image of the gallery."""
        row = self._row(request.path_params["row"])
        try:
            return Response(await self._service.picture(row), media_type="image/webp")
        except UserError as refusal:
            raise HTTPException(404, str(refusal)) from refusal

    async def search(self, request: Request) -> Response:
        """The nearest images of a query."""
        with self._admitted():
            form = await read_form(request, {"image"}, {"row", "top", "where"})
            top = form.integer("top", 1, limits.MAX_TOP, limits.DEFAULT_TOP)
            name, query = self._query(form)
            found = await self._service.search(name, query, top, form.filter())
        return JSONResponse(found)

    async def explain(self, request: Request) -> Response:
        """What made a query match an image of the gallery."""
        with self._admitted():
            result = self._row(request.query_params.get("result", ""))
            form = await read_form(request, {"image"}, {"row"})
            _, query = self._query(form)
            return JSONResponse(await self._service.explain(query, result))

    async def description(self, _: Request) -> Response:
        """The API in OpenAPI's words."""
        return JSONResponse(describe())

    async def health(self, _: Request) -> Response:
        """Whether all is compiled."""
        if self._service.is_ready:
            return JSONResponse({"status": "ok"})
        return error(503, "the server is warming up", _LATER)

    async def metrics(self, _: Request) -> Response:
        """Prometheus' text format."""
        return PlainTextResponse(self._metrics.text(), media_type="text/plain; version=0.0.4")

    def _query(self, form: Form) -> tuple[str, Query]:
        """What a form asks for, with its name for people."""
        image = form.files.get("image")
        if (image is None) == ("row" not in form.texts):
            raise HTTPException(400, "send either an image or the row of one in the gallery")
        if image is not None:
            return image
        row = self._row(form.texts["row"])
        return self._service.rows.path(row), row

    def _row(self, text: str) -> int:
        row = parse_integer("a row", text, 0, MAX_ROW)
        if row not in self._service.rows:
            raise HTTPException(404, f"no image {row} has been shown; search, or list /api/images")
        return row

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        """Count a request with images; refuse it where too many are being answered."""
        if self._requests >= limits.MAX_REQUESTS:
            raise HTTPException(503, "too many requests at once; try again", _LATER)
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1


@cache
def _text(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
