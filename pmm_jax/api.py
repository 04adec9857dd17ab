"""Public API: load a model, embed images, explain matches, evaluate a run."""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from os import PathLike
from pathlib import Path

import jax
import numpy as np

from pmm_jax.calibration import Calibration
from pmm_jax.config import EvaluateConfig
from pmm_jax.config_check import check
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import RankingMetrics
from pmm_jax.evaluation.evaluate import evaluate_ranking
from pmm_jax.files import printable, user_path
from pmm_jax.inference import (
    embed_run,
    make_classify,
    make_embed,
    make_explain,
    make_explain_pair,
    map_batches,
)
from pmm_jax.methods import get_method
from pmm_jax.model.pmm import Kind, Network, Tree
from pmm_jax.model.torch_checkpoint import Tensors, load_state_dict, state_dict
from pmm_jax.model.weights_file import WeightsAlone, download, read_file, write_file
from pmm_jax.model_file import ModelInfo, fingerprint_of, read_model_file
from pmm_jax.pixels import Images, check_images, pixel_batches
from pmm_jax.workdir.calibration_file import CALIBRATION, read_calibration
from pmm_jax.workdir.restore import restore_checkpoint
from pmm_jax.workdir.run_config import data_fingerprint, load_run_config

_log = logging.getLogger(__name__)
_HUB = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


class Model:
    """A network with its weights; `load` and `load_torch` make it.

    Attributes:
        kind: of network: `pmm`, `baseline`, `bdb` or `trunk`.
        network: its modules.
        params: its parameters, by module.
        batch_stats: BatchNorm's running statistics, likewise.
        image_size: height and width that images are resized to.
        info: config, metrics, data and licenses of the run that trained it; None where it is
            unknown, as of a file of weights alone.
        calibration: a threshold of its distances (`pmm calibrate`); None without one.

    Example:
        >>> model.image_size, model.classes
        ((128, 64), 260)
        >>> model.fingerprint == pmm_jax.load("runs/demo").fingerprint
        True
    """

    def __init__(  # noqa: PLR0913
        self,
        kind: Kind,
        network: Network,
        params: Tree,
        batch_stats: Tree,
        image_size: tuple[int, int],
        info: ModelInfo | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.kind = kind
        self.network = network
        self.params = params
        self.batch_stats = batch_stats
        self.image_size = image_size
        self.info = info
        self.calibration = calibration
        self._weights = jax.device_put((params, batch_stats))  # once, not with every batch
        self._embed = make_embed(network)
        self._embed_both = make_embed(network, flip_average=True)
        self._classify = make_classify(network)
        self._explain = make_explain(network)
        self._explain_pair = make_explain_pair(network)

    def embed(
        self,
        images: Images,
        batch_size: int = 64,
        flip_average: bool = False,
    ) -> np.ndarray:
        """The descriptor of each image, for comparison by Euclidean distance.

        Args:
            images: paths, PIL images or uint8 RGB arrays, of any size; or one (N, H, W, 3) array.
                They are resized to `image_size`, bilinearly.
            batch_size: images embedded at once.
            flip_average: give the mean of an image's embedding and its mirror image's.

        Returns:
            (N, D) float32, not normalized: 1536 for the paper's network.

        Raises:
            UserError: an image that can't be read, has no pixels, or has another type or shape.

        Example:
            >>> embeddings = model.embed(["a.jpg", "b.jpg"])
            >>> embeddings.shape
            (2, 1536)
            >>> crop = np.zeros((120, 45, 3), np.uint8)  # of a detector, say
            >>> model.embed([crop]).shape
            (1, 1536)
        """
        check_images("embed", images, batch_size)
        batches = pixel_batches(images, self.image_size, batch_size)
        run = self._embed_both if flip_average else self._embed
        params, batch_stats = self._weights
        return map_batches(lambda batch: run(params, batch_stats, jax.device_put(batch)), batches)

    def classify(self, images: Images, batch_size: int = 64) -> np.ndarray:
        """The training identity that the heads name: the one with the largest sum of logits.

        Args:
            images: as of `embed`.
            batch_size: images taken at once.

        Returns:
            (N,) int, 0 to classes - 1.

        Raises:
            UserError: as `embed`; a bare ResNet-50.

        Example:
            >>> identities = model.classify(["a.jpg", "b.jpg"])
            >>> identities.shape
            (2,)
        """
        check_images("classify", images, batch_size)
        self._check_identities("embed")
        batches = pixel_batches(images, self.image_size, batch_size)
        found = map_batches(lambda batch: self._classify(*self._weights, batch), batches)
        return found.astype(np.int64)

    def explain(
        self,
        images: Images,
        identities: Sequence[int] | np.ndarray | None = None,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Grad-CAM of each head for a training identity (paper, Figure 4).

        Args:
            images: as of `embed`.
            identities: (N,) training identities, 0 to classes - 1, whose evidence is asked for; by
                default what `classify` returns.
            batch_size: images taken at once.

        Returns:
            (N, S, h, w) float32, >= 0, not normalized; S is the number of heads (3 in the paper's
            network) and h x w the size of its feature map. Each is in units of its head's logit, so
            their sum over the heads is the evidence for the sum of the logits.

        Raises:
            UserError: as `embed`; a bare ResNet-50; an identity out of range.

        Example:
            >>> cams = model.explain(["a.jpg", "b.jpg"])
            >>> cams.shape  # images, stages, height and width of the feature map
            (2, 3, 8, 4)
        """
        check_images("explain", images, batch_size)
        self._check_identities("explain_pair")
        labels = None if identities is None else self._identities(identities, len(images))
        batches = pixel_batches(images, self.image_size, batch_size)
        if labels is None:
            return map_batches(lambda batch: self._explain(*self._weights, batch), batches)
        some = (
            np.resize(labels[start : start + batch_size], batch_size)
            for start in range(0, len(labels), batch_size)
        )
        return map_batches(lambda batch: self._explain(*self._weights, batch, next(some)), batches)

    def explain_pair(
        self, images: Images, others: Images, batch_size: int = 64
    ) -> tuple[np.ndarray, np.ndarray]:
        """Grad-CAM of each head for the similarity of two images, on both.

        Args:
            images: as of `embed`.
            others: likewise, one for each image.
            batch_size: pairs taken at once.

        Returns:
            Of the images and of the others, (N, S, h, w) each, as `explain`. The score is the inner
            product of a head's two embeddings; the whole embeddings' is the sum of the heads', and
            so is its CAM.

        Raises:
            UserError: as `embed`; as many others as images are needed.

        Example:
            >>> of_a, of_b = model.explain_pair(["a.jpg"], ["b.jpg"])
            >>> of_a.shape, of_b.shape
            ((1, 3, 8, 4), (1, 3, 8, 4))
        """
        check_images("explain_pair", images, batch_size)
        check_images("explain_pair", others, batch_size)
        if len(images) != len(others):
            raise UserError(
                f"explain_pair was given {len(images)} images and {len(others)} others; "
                "give a partner for each"
            )
        partners = pixel_batches(others, self.image_size, batch_size)
        return map_batches(
            lambda batch: self._explain_pair(*self._weights, batch, next(partners)[0]),
            pixel_batches(images, self.image_size, batch_size),
        )

    def _check_identities(self, otherwise: str) -> None:
        if self.kind == "trunk":
            raise UserError(f"a bare ResNet-50 knows no identities; use {otherwise}")

    def _identities(self, identities: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
        labels, classes = np.asarray(identities), self.classes
        is_whole = labels.shape == (count,) and np.issubdtype(labels.dtype, np.integer)
        if not is_whole or labels.min() < 0 or labels.max() >= classes:
            raise UserError(f"identities must be {count} integers of 0 to {classes - 1}, one each")
        return labels.astype(np.int32)

    @property
    def classes(self) -> int:
        """Training identities; 0 of a bare trunk."""
        if "stage1" not in self.params:
            return 0
        return self.params["stage1"]["classifier"]["kernel"].shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of weights and preprocessing: equal for a run and the files exported from it."""
        return fingerprint_of(self.state_dict(), self.image_size)

    def state_dict(self) -> Tensors:
        """Every value under PyTorch's names, in PyTorch's shapes (torch_names.py).

        Example:
            >>> tensors = model.state_dict()
            >>> tensors["backbone.0.weight"].shape  # the trunk's first convolution
            (8, 3, 7, 7)
        """
        return state_dict(self.params, self.batch_stats)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the weights for PyTorch, as .pth.tar or .pth (needs torch), or as .safetensors.

        Args:
            path: of the file; its ending says which.

        Raises:
            UserError: another ending, or a path that can't be written.

        Example:
            >>> model.save("weights.safetensors")
            >>> pmm_jax.load_torch("weights.safetensors", image_size=(128, 64)).kind
            'pmm'
        """
        write_file(user_path(path), self.state_dict())


def load(source: str | PathLike[str], checkpoint: str = "latest") -> Model:
    """The model that train.py left in a folder, or that `pmm export` wrote to a file.

    Args:
        source: a run's folder, a model file, or `hf://OWNER/NAME[@REVISION]`: model.safetensors of
            a repository on Hugging Face's hub.
        checkpoint: of a run: `latest`, or `best` by mAP.

    Raises:
        WeightsAlone: a file of weights alone, which `load_torch` reads.
        UserError: there is no such run, checkpoint or file, or it is damaged.

    Example:
        >>> model = pmm_jax.load("runs/demo")
        >>> model.kind, model.image_size, model.classes
        ('pmm', (128, 64), 260)
        >>> model = pmm_jax.load("hf://owner/name")  # by the network  # doctest: +SKIP
    """
    path = _local(source)
    if not path.is_dir():
        if checkpoint != "latest":
            raise UserError(f"{path} is no run's folder, so there is no {checkpoint} checkpoint")
        model = Model(*read_model_file(path))
        if model.calibration is not None and model.calibration.model != model.fingerprint:
            raise UserError(
                f"{path} is not a sound model file: its threshold is another model's; export it "
                "again"
            )
        return model
    config, network, params, batch_stats, step, metrics = restore_checkpoint(path, checkpoint)
    info = ModelInfo(config, step, data_fingerprint(path), metrics, {})
    kind = get_method(config).network
    model = Model(kind, network, params, batch_stats, config.data.image_size, info)
    found = read_calibration(path)
    if found is not None and found.model != model.fingerprint:
        _log.warning(
            "%s is of another checkpoint, and left out; calibrate again", path / CALIBRATION
        )
    elif found is not None:
        model.calibration = found
    return model


def _local(source: str | PathLike[str]) -> Path:
    if not str(source).startswith("hf:"):
        return user_path(source)
    found = _HUB.fullmatch(str(source))
    if found is None:
        raise UserError(f"{printable(str(source))} names no model; give hf://OWNER/NAME[@REVISION]")
    repository, revision = found.groups()
    return download(f"{source}", repository, revision, "name a file or a run's folder")


def load_any(source: str, checkpoint: str = "latest") -> Model:
    """The model that `load` takes, or that of a file of weights alone, as of 384x128 images.

    What MODEL stands for on a command line; raises as `load` and `load_torch`.
    """
    try:
        return load(source, checkpoint)
    except WeightsAlone:
        return load_torch(source)


def load_torch(path: str | PathLike[str], image_size: tuple[int, int] = (384, 128)) -> Model:
    """The model in a PyTorch file: of the PMM release, BDB, this project, or a bare ResNet-50.

    The file is read without executing anything in it, and every name in it is accounted for. A
    ResNet-50 of torchvision, timm or another re-ID codebase becomes a trunk with stride 1 in its
    last layer, as all trunks here, whose map's mean (2048) is the embedding; its classifier or neck
    is left out, and the log says so.

    Args:
        path: a PyTorch (needs torch) or safetensors file, whatever its name.
        image_size: height and width in pixels that the model was trained on; the file doesn't say.

    Raises:
        UserError: the file can't be read, or is of no network known here.

    Example:
        >>> model = pmm_jax.load_torch("checkpoint.pth.tar")  # of the PMM release
        >>> model.kind, model.image_size
        ('pmm', (384, 128))
    """
    hint = "give another file"
    loaded = load_state_dict(str(path), read_file(user_path(path), hint))
    return Model(loaded.kind, loaded.network, loaded.params, loaded.batch_stats, image_size)


def evaluate(
    workdir: str | PathLike[str], settings: EvaluateConfig | None = None
) -> RankingMetrics:
    """Rank a run's gallery for its queries, as `pmm eval --workdir` does.

    Args:
        workdir: of the run.
        settings: in place of `evaluate` in the run's own config.

    Returns:
        Rank-k, mAP and mINP as fractions (`rank1`, `mAP`, `mINP`), and each query's figures.

    Raises:
        UserError: there is no such run or checkpoint, its images can't be read, or settings that
            can't work.

    Example:
        >>> from pmm_jax.config import EvaluateConfig
        >>> metrics = pmm_jax.evaluate("runs/demo", EvaluateConfig(distance="cosine"))
        >>> print(f"Rank-1 {metrics.rank1:.1%}, mAP {metrics.mAP:.1%}, mINP {metrics.mINP:.1%}")
        Rank-1 ...%, mAP ...%, mINP ...%
    """
    folder = user_path(workdir)
    config = load_run_config(folder)
    if settings is not None:
        config = check(replace(config, evaluate=settings))
    query, gallery = embed_run(config, folder, Display(quiet=True))
    return evaluate_ranking(query, gallery, config.evaluate, config.evaluate.query_block)
