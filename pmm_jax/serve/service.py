"""A model and a gallery, asked by many at once."""

import asyncio
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pmm_jax.api import Model
from pmm_jax.errors import UserError
from pmm_jax.evaluation.expansion import unit_length
from pmm_jax.pixels import pixels, read_rgb
from pmm_jax.report.explanation.explanation import compare_pair
from pmm_jax.report.heads import ALL, head_titles, parts, with_sum
from pmm_jax.report.pictures import QUALITY, data_uri, overlay, resized
from pmm_jax.search.gallery import Gallery, GalleryInfo, Result
from pmm_jax.search.results import about_image, as_json, warnings_of
from pmm_jax.serve.batching import Batcher
from pmm_jax.serve.embedder import Embedder
from pmm_jax.serve.forms import decode_upload
from pmm_jax.serve.rows import Rows

T = TypeVar("T")

SEARCHES = 32
"""Queries ranked at once."""
HEIGHT = 256
"""Pixels of a picture of the gallery, at most."""
THREADS = 4
"""That decode and draw pictures. More would need more memory for large uploads."""

Query = bytes | int
"""An encoded image, or a row of the gallery."""


class Search(NamedTuple):
    """A query and what is asked of it."""

    features: np.ndarray
    """(D,) float32."""
    top: int
    where: str | None


class Service:
    """Searches and explanations, as many at once as come.

    Attributes:
        model: embeds and explains; its calibration decides.
        gallery: is searched.
        rows: numbers of the gallery's images.
        is_ready: nothing is left to be compiled.
        embeddings: of images at the model's size, in batches.
        searches: of embeddings, likewise.
    """

    def __init__(
        self,
        model: Model,
        gallery: Gallery,
        observe: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.model, self.gallery = model, gallery
        self.rows, self.is_ready = Rows(), False
        self._distance = gallery.info().maker.distance
        self._embedder = Embedder(model)
        self.embeddings = Batcher(self._embedder.embed, self._embedder.size, observe)
        self.searches = Batcher(self._search, lambda waiting: min(waiting, SEARCHES))
        self._pool = ThreadPoolExecutor(THREADS)

    async def warm_up(self) -> None:
        """Compile all that requests need, and read the gallery."""
        await self.embeddings.run_alone(self._compile)
        await self.searches.run_alone(self.gallery.prepare)
        self.is_ready = True

    async def search(self, name: str, query: Query, top: int, where: str | None) -> dict[str, Any]:
        """The gallery's nearest images, as of `search --json`.

        Args:
            name: of the query, for people.
            query: what is looked for.
            top: results, at most.
            where: a condition that they must meet.

        Returns:
            `query` and `results`, each with its `row`; `warnings`, where the calibration knows
            nothing of a camera.

        Raises:
            UserError: an image that can't be used, or no sound condition.
        """
        image = await self._in_pool(lambda: pixels(self._read(query), self.model.image_size))
        features = await self.embeddings(image)
        results = await self.searches(Search(features, top, where))
        answer = as_json(name, results, self.model.calibration)
        answer["results"] = [self._numbered(one) for one in answer["results"]]
        return answer | {"warnings": warnings_of([results], self.model.calibration)}

    async def explain(self, query: Query, row: int) -> dict[str, Any]:
        """What made an image match one of the gallery.

        Args:
            query: the image.
            row: of the gallery's.

        Returns:
            `distance`, as the gallery has it, and `cosine`; `heads`, their titles; of `query` and
            `result`, for each head the image with the head's CAM over it, as a data URI.

        Raises:
            UserError: an image that can't be used.
        """
        images = [await self._in_pool(self._read, one) for one in (query, row)]
        small = [await self._in_pool(pixels, image, self.model.image_size) for image in images]
        features = await asyncio.gather(*map(self.embeddings, small))
        cams = await self.embeddings.run_alone(self.model.explain_pair, small[:1], small[1:], 1)
        return await self._in_pool(self._drawn, images, np.stack(features), np.concatenate(cams))

    async def images(self, where: str | None, start: int, top: int) -> dict[str, Any]:
        """What is known of some of the gallery's images, in its order.

        Args:
            where: a condition that they must meet.
            start: leave out so many of them.
            top: images, at most.

        Returns:
            `count`, of all that meet it, and `images`.

        Raises:
            UserError: no sound condition.
        """
        count, found = await self.searches.run_alone(self.gallery.images, where, start, top)
        listed = [about_image(columns) for columns in found]
        return {"count": count, "images": [self._numbered(one) for one in listed]}

    async def about(self) -> GalleryInfo:
        """What the gallery says of itself, as of now."""
        return await self.searches.run_alone(self.gallery.info)

    async def picture(self, row: int) -> bytes:
        """An image of the gallery, as WebP.

        Raises:
            UserError: its file can't be read any more.
        """
        return await self._in_pool(lambda: _webp(self._read(row)))

    def close(self) -> None:
        """End the threads."""
        self.embeddings.close()
        self.searches.close()
        self._pool.shutdown()

    def _numbered(self, image: dict[str, Any]) -> dict[str, Any]:
        return {"row": self.rows.number(image["path"]), **image}

    def _compile(self) -> None:
        self._embedder.warm_up()
        blank = np.zeros((1, *self.model.image_size, 3), np.uint8)
        self.model.explain_pair(blank, blank, 1)

    def _search(self, searches: list[Search]) -> list[list[Result] | Exception]:
        """The results of each; those with the same condition are ranked together."""
        groups: dict[str | None, list[int]] = {}
        for number, one in enumerate(searches):
            groups.setdefault(one.where, []).append(number)
        found: dict[int, list[Result] | Exception] = {}
        for where, numbers in groups.items():
            some = [searches[number] for number in numbers]
            found |= zip(numbers, self._ranked(some, where), strict=True)
        return [found[number] for number in range(len(searches))]

    def _ranked(self, searches: list[Search], where: str | None) -> list[list[Result] | Exception]:
        features = np.stack([one.features for one in searches])
        try:
            lists = self.gallery.search(features, max(one.top for one in searches), where)
        except UserError as error:
            if len(searches) == 1:
                return [error]
            # Where one query is at fault, the others get their results all the same.
            return [self._ranked([one], where)[0] for one in searches]
        return [results[: one.top] for one, results in zip(searches, lists, strict=True)]

    def _read(self, query: Query) -> np.ndarray:
        """An image, (H, W, 3) uint8 in its own size."""
        if isinstance(query, int):
            return read_rgb(self.rows.path(query))
        return decode_upload(query)

    def _drawn(
        self, images: Sequence[np.ndarray], features: np.ndarray, cams: np.ndarray
    ) -> dict[str, Any]:
        if self._distance == "cosine":
            features = unit_length("features", features)
        match = compare_pair(features, parts(features, self.model.network))
        titles = head_titles(self.model.network)
        pictures = [
            [data_uri(overlay(image, cam)) for cam in some]
            for image, some in zip(images, with_sum(cams), strict=True)
        ]
        return {
            "distance": match["distance"],
            "cosine": match["cosine"],
            "heads": titles if len(titles) == 1 else [*titles, ALL],
            "query": pictures[0],
            "result": pictures[1],
        }

    async def _in_pool(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


def _webp(image: np.ndarray) -> bytes:
    """A picture of at most HEIGHT pixels' height."""
    stream = io.BytesIO()
    picture = resized(image, min(HEIGHT, image.shape[0]))
    picture.save(stream, "WEBP", quality=QUALITY, method=2)
    return stream.getvalue()
