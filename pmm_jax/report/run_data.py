"""A run as the report's sections read it; what is expensive is computed once, when first needed."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.data.decode import to_rgb
from pmm_jax.data.images import open_image
from pmm_jax.data.split import Split, open_split
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.evaluate import preprocess_embeddings
from pmm_jax.evaluation.summary import Summary, summarize
from pmm_jax.inference import check_images_of_run, embed_with_weights
from pmm_jax.methods import get_method
from pmm_jax.workdir.restore import restore_run
from pmm_jax.workdir.run_config import load_run_config
from pmm_jax.workdir.run_log import read_metrics

TRAINING = {"step", "epoch", "loss", "accuracy", "learning_rate"}
EVALUATION = {"step", "epoch", "rank1", "rank5", "rank10", "mAP", "mINP"}
"""Fields that a line of metrics.jsonl has at least."""
WIDEST = 32
"""Width of a picture by its height, at most: one of a thousand pixels by one fits no page."""


class RunData:
    """Config, log, embeddings, metrics, model and images of a run.

    Whatever can't be had raises its error each time it is asked for, and is computed no more than
    once: a section without it says why it isn't shown.

    Attributes:
        workdir: of the run.
        config: the run's own.
        display: shows progress.
        log: lines of metrics.jsonl, but for damaged ones.
        missing: why a picture isn't shown, by the image's path.
    """

    def __init__(
        self,
        workdir: Path,
        display: Display,
        embedded: tuple[Embeddings, Embeddings] | None = None,
    ) -> None:
        """Read config and log.

        Args:
            workdir: of the run.
            display: shows progress.
            embedded: query and gallery as evaluate.checkpoint embeds them, where they are at hand.

        Raises:
            UserError: there is no run.
        """
        self.workdir, self.display = workdir, display
        self.config = load_run_config(workdir)
        self.log: list[dict[str, Any]] = [line for line in read_metrics(workdir) if _is_whole(line)]
        self.missing: dict[str, str] = {}
        self._embedded = embedded
        self._results: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.workdir.resolve().name

    @property
    def subtitle(self) -> str:
        """Method, data set, seed, and how far the run has come."""
        config = self.config
        # Synthetic people in Market-1501's layout are not Market-1501.
        data = f"{config.data.name} ({Path(config.data.root).resolve().name})"
        return f"{config.method.name} on {data}, seed {config.train.seed}; {self.progress}"

    @property
    def progress(self) -> str:
        """The checkpoint that is shown, and the last epoch in the log, which may be a later one."""
        try:
            checkpoint = self._restored[1]
        # Kept by `_once`: each section that needs the checkpoint raises it again and says why.
        except Exception:
            checkpoint = "no checkpoint"
        epoch = max((line["epoch"] for line in self.log), default=0)
        return f"{checkpoint}; trained to epoch {epoch} of {self.config.train.epochs}"

    @property
    def embeddings(self) -> tuple[Embeddings, Embeddings]:
        """Query and gallery as evaluate.checkpoint embeds them."""
        if self._embedded is not None:
            return self._embedded
        return self._once("embeddings", self._embed)

    def _embed(self) -> tuple[Embeddings, Embeddings]:
        check_images_of_run(self.config, self.workdir, self.display)
        # Its own, not `embed_run`'s: a run that is training may have a newer checkpoint by then.
        model = self.model
        return embed_with_weights(
            model.network, self.config, model.params, model.batch_stats, self.display
        )

    @property
    def summary(self) -> Summary:
        """What `pmm eval --intervals` computes, and each query's first images."""
        query, gallery = self.embeddings
        settings = self.config.evaluate
        return self._once(
            "summary",
            lambda: summarize(
                query,
                gallery,
                settings,
                settings.query_block,
                intervals=not settings.single_shot,
                per_query=True,
            ),
        )

    @property
    def ranked(self) -> tuple[Embeddings, Embeddings]:
        """Query and gallery as they are ranked: normalized, expanded, without junk, as configured.

        What the sections compute of distances is the plain ranking of these, without re-ranking.
        """
        return self._once(
            "ranked", lambda: preprocess_embeddings(*self.embeddings, self.config.evaluate)
        )

    @property
    def model(self) -> Model:
        """The model of evaluate.checkpoint."""
        return self._restored[0]

    @property
    def _restored(self) -> tuple[Model, str]:
        return self._once("model", self._restore)

    def _restore(self) -> tuple[Model, str]:
        """The model of evaluate.checkpoint, and which step's it is."""
        steps: list[str] = []
        checkpoint = self.config.evaluate.checkpoint
        config, network, params, stats = restore_run(self.workdir, checkpoint, steps.append)
        kind = get_method(config).network
        return Model(kind, network, params, stats, config.data.image_size), steps[-1]

    def split(self, name: str) -> Split:
        """`train`, `query` or `gallery` as prepared."""
        return self._once(f"split {name}", lambda: open_split(self.config.data, name))

    def image(self, path: str) -> np.ndarray:
        """An image of query or gallery, (H, W, 3) uint8 in its own size.

        Args:
            path: as in `Embeddings.paths`.

        Raises:
            UserError: there is no such image, or it can't be decoded.
        """
        if path not in self._places:
            raise UserError(f"{path} is not in the data set")
        split, row = self._places[path]
        return image_of(split, row)

    @cached_property
    def _places(self) -> dict[str, tuple[Split, int]]:
        return {
            path: (split, row)
            for split in (self.split("gallery"), self.split("query"))
            for row, path in enumerate(split.filenames)
        }

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        if name not in self._results:
            try:
                self._results[name] = compute()
            except Exception as error:
                self._results[name] = error
        result = self._results[name]
        if isinstance(result, Exception):
            raise result
        return result


def _is_whole(line: dict[str, Any]) -> bool:
    """Whether a line of the log has what a run writes: nothing says that it isn't damaged."""
    kinds = [TRAINING, EVALUATION]
    is_known = any(kind <= set(line) for kind in kinds)
    return is_known and all(isinstance(value, int | float | None) for value in line.values())


def image_of(split: Split, row: int) -> np.ndarray:
    """An image of a split, (H, W, 3) uint8 in its own size.

    Raises:
        UserError: it can't be decoded.
    """
    with open_image(split.read(row), split.filenames[row]) as image:
        return np.asarray(to_rgb(image))


def resized(image: np.ndarray, height: int) -> Image.Image:
    """An image at another height, its proportions kept up to WIDEST."""
    width = min(max(1, round(image.shape[1] * height / image.shape[0])), WIDEST * height)
    return Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
