"""What `import pmm_jax` offers: a trained model as an object that embeds images."""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from pmm_jax.data.decode import decode, to_rgb
from pmm_jax.errors import UserError
from pmm_jax.evaluation.embed import embed_batches
from pmm_jax.methods import METHODS, Kind
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.model.torch_checkpoint import Tensors, load_state_dict, state_dict
from pmm_jax.model.weights_file import read_file, write_file
from pmm_jax.training.evaluate import make_embed
from pmm_jax.training.run_weights import restore_run

AnyImage = str | PathLike | Image.Image | np.ndarray
"""A path, a PIL image, or an (H, W, 3) uint8 RGB array of any size."""


class Model:
    """A network with its weights; `load` and `load_torch` make it."""

    def __init__(
        self, kind: Kind, network: Network, params: Tree, stats: Tree, image_size: tuple[int, int]
    ) -> None:
        self.kind = kind
        self.network = network
        self.params = params
        self.stats = stats
        self.image_size = image_size
        self._weights = jax.device_put((params, stats))  # once, not with every batch
        self._embed = make_embed(network)
        self._embed_both = make_embed(network, flip_average=True)

    def embed(
        self,
        images: Sequence[AnyImage] | np.ndarray,
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
            (N, D) float32, not normalised: 1536 for the paper's network.

        Raises:
            UserError: an image that can't be read, is no image, or has another type or shape.
        """
        if isinstance(images, str | PathLike | Image.Image):
            raise UserError("embed takes several images: give a list, even of one")
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; it must be at least 1")
        if not len(images):
            raise UserError("embed was given no images")

        def batches() -> Iterator[tuple[np.ndarray, int]]:
            for start in range(0, len(images), batch_size):
                some = [self._pixels(image) for image in images[start : start + batch_size]]
                batch = np.zeros((batch_size, *self.image_size, 3), np.uint8)
                batch[: len(some)] = some
                yield batch, len(some)

        run = self._embed_both if flip_average else self._embed
        params, stats = self._weights
        return embed_batches(lambda batch: run(params, stats, jax.device_put(batch)), batches())

    def state_dict(self) -> Tensors:
        """Every value under PyTorch's names, in PyTorch's shapes (torch_names.py)."""
        return state_dict(self.params, self.stats)

    def save(self, path: str | PathLike) -> None:
        """Write the weights for PyTorch, as .pth.tar or .pth (needs torch), or as .safetensors.

        Raises:
            UserError: another ending, or a path that can't be written.
        """
        write_file(Path(path), self.state_dict())

    def _pixels(self, image: AnyImage) -> np.ndarray:
        if isinstance(image, str | PathLike):
            try:
                return decode(Path(image).read_bytes(), self.image_size)
            except OSError as error:
                reason = getattr(error, "strerror", None) or "it is no whole image"
                raise UserError(f"can't read image {image}: {reason}") from error
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise UserError(
                    f"an image array has shape {image.shape} and type {image.dtype}; it must be "
                    "(height, width, 3) uint8, RGB"
                )
            image = Image.fromarray(image)
        if not isinstance(image, Image.Image):
            raise UserError(f"{type(image).__name__} is no image: give a path, PIL image or array")
        height, width = self.image_size
        return np.asarray(to_rgb(image).resize((width, height), Image.Resampling.BILINEAR))


def load(workdir: str | PathLike, checkpoint: str = "latest") -> Model:
    """The model that train.py left in a folder.

    Args:
        workdir: of the run.
        checkpoint: `latest`, or `best` by mAP.

    Raises:
        UserError: there is no such run or checkpoint.
    """
    config, network, params, stats = restore_run(Path(workdir), checkpoint)
    return Model(
        METHODS[config.method.name].network, network, params, stats, config.data.image_size
    )


def load_torch(path: str | PathLike, image_size: tuple[int, int] = (384, 128)) -> Model:
    """The model in a PyTorch file: of the PMM release, BDB, this project, or a bare ResNet-50.

    The file is read without executing anything in it, and every name in it is accounted for. A
    torchvision or timm ResNet-50 becomes a trunk with stride 1 in its last layer, as all trunks
    here, whose map's mean (2048) is the embedding.

    Args:
        path: .pth.tar, .pth, .pt (need torch) or .safetensors.
        image_size: height and width in pixels that the model was trained on; the file doesn't say.

    Raises:
        UserError: the file can't be read, or is of no network known here.
    """
    mend = "give another file"
    loaded = load_state_dict(str(path), read_file(Path(path), mend))
    return Model(loaded.kind, loaded.network, loaded.params, loaded.stats, image_size)
