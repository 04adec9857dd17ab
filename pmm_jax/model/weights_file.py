"""Tensors of a weights file, by name, without executing what the file may hold."""

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.files import open_regular, write_atomic
from pmm_jax.model.safetensors_file import decode_safetensors, encode_safetensors
from pmm_jax.model.torch_file import ALONE, first_line, import_torch, read_torch

REPOSITORY = "timm/resnet50.tv_in1k"
"""Torchvision's ResNet-50 (IMAGENET1K_V1, the weights that the release starts from)."""
REVISION = "aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8"
"""Pinned, so that two runs never start from different weights; later commits change its README."""
FILE = "model.safetensors"

ENDINGS = (".safetensors", ".pth", ".pt", ".pth.tar")
"""File name endings that are written; a file that is read is known by its content."""
HINT = "give --model.weights FILE or --model.weights scratch"
LARGEST = 4 * 2**30
"""Bytes of a file that is read: a ResNet-152 in float64 with Adam's moments has a third of it."""

_FORMS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; run git lfs pull"),
    (b"<", "a page of HTML or XML, as a failed download leaves it; download it again"),
    (b"\x93NUMPY", "an array of NumPy; give a state dict"),
    (b"\x89HDF", "an HDF5 file; give a PyTorch or safetensors file"),
    (b"\x1f\x8b", "compressed by gzip; unpack it"),
)
"""First bytes of files that are mistaken for weights, and a hint for each."""

_TORCH_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The number that torch pickled ahead of everything else before it wrote zip archives (1.6)."""


def read_weights(source: str) -> tuple[str, dict[str, np.ndarray]]:
    """Read the weights that model.weights names: their name for messages, and all tensors."""
    if source == "imagenet":
        path = download(f"the ImageNet weights {REPOSITORY}", REPOSITORY, REVISION, HINT)
        return f"{REPOSITORY} ({FILE})", read_file(path, HINT)
    if not source.endswith(ENDINGS) and not Path(source).exists():
        raise UserError(
            f"model.weights {source} is neither `imagenet`, `scratch` nor the name of a "
            "safetensors or PyTorch file"
        )
    return source, read_file(Path(source), HINT)


class WeightsAlone(UserError):
    """A file of weights, where a model file is needed."""


def read_file(path: Path, hint: str) -> dict[str, np.ndarray]:
    """All tensors of a file; half precision comes as float32.

    Args:
        path: a safetensors or PyTorch file (which needs torch), known by its content, whatever its
            name; of a training checkpoint the model's state.
        hint: end of the message where it can't be read.

    Raises:
        UserError: no such file, a damaged one, or one that holds more than tensors.
    """
    with _opened(path, hint) as (file, form):
        if form == "torch":
            return read_torch(path, file, hint)
        return decode_safetensors(path, file.read(), hint)[0]


def read_with_header(path: Path, hint: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All tensors of a model file and its header; arguments are those of `read_file`.

    Raises:
        WeightsAlone: the file has no such header.
        UserError: no such file, or a damaged one.
    """
    with _opened(path, hint) as (file, form):
        found = decode_safetensors(path, file.read(), hint) if form == "safetensors" else ({}, {})
    if not found[1]:
        raise WeightsAlone(f"{path} holds weights alone, which load_torch reads; {hint}")
    return found


@contextlib.contextmanager
def _opened(path: Path, hint: str) -> Iterator[tuple[BinaryIO, Literal["torch", "safetensors"]]]:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise UserError(
                    f"{path} has {size / 2**30:.0f} GiB, more than any network here; {hint}"
                )
            yield file, _form(path, file, size, hint)
    except OSError as error:
        raise UserError(f"can't read weights {path}: {error.strerror or error}; {hint}") from error


def write_file(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors as .safetensors, or for torch as `{"state_dict": ...}`, by the name's ending.

    The file appears under its name only when it is whole and reads back as it should.

    Raises:
        UserError: another ending, a path that can't be written, or torch is missing.
    """
    if not path.name.endswith(ENDINGS):
        raise UserError(f"{path}: its name must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if path.suffix == ".safetensors":
        data = encode_safetensors(tensors, {})
    else:
        torch = import_torch(f"writing {path}")
        values = {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
        stream = io.BytesIO()
        torch.save({"state_dict": values}, stream)
        data = stream.getvalue()
    write_whole(path, data)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, and the folder where it lies, if need be.

    Raises:
        UserError: it can't be written; what was there before stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from error


def download(what: str, repository: str, revision: str | None, hint: str) -> Path:
    """The file FILE of a repository on Hugging Face's hub, from its cache where it is there.

    Args:
        what: to call it in a message.
        repository: OWNER/NAME.
        revision: a commit, tag or branch; by default the newest.
        hint: end of the message where it can't be had.

    Raises:
        UserError: there is no such file or no network.
    """
    import huggingface_hub
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # a line for each of its retries would bury ours
    try:
        return Path(huggingface_hub.hf_hub_download(repository, FILE, revision=revision))
    except Exception as error:  # the hub's, the HTTP client's and the file system's share no base
        raise UserError(f"can't get {what} ({first_line(error)}); {hint}") from error
    finally:
        logging.set_verbosity(verbosity)


def _form(path: Path, file: BinaryIO, size: int, hint: str) -> Literal["torch", "safetensors"]:
    """What kind of file it is, by its first bytes.

    Raises:
        UserError: another kind than those two; the message says which.
    """
    head = file.read(512)
    file.seek(0)
    if not head:
        raise UserError(f"{path} is empty; {hint}")
    if head.startswith(b"PK\x03\x04") or (head[:1] == b"\x80" and _TORCH_MAGIC in head[:32]):
        return "torch"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < max(size, 2**32):
        return "safetensors"
    if head[257:262] == b"ustar":
        form = "a tar archive; unpack it, or, where torch before 0.1.10 saved it, save it anew"
    elif head[:1] == b"\x80":
        form = f"a pickle, which could execute code and is never loaded; {ALONE} with torch.save"
    else:
        known = (form for start, form in _FORMS if head.lstrip().startswith(start))
        form = next(known, f"neither a safetensors nor a PyTorch file; {hint}")
    raise UserError(f"{path} is {form}")
