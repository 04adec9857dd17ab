"""Tensors of a weights file, by name, without executing what the file may hold."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.errors import UserError

REPOSITORY = "timm/resnet50.tv_in1k"
"""Torchvision's ResNet-50 (IMAGENET1K_V1, the weights that the release starts from)."""
REVISION = "aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8"
"""Pinned, so that two runs never start from different weights; later commits change its README."""
FILE = "model.safetensors"

ENDINGS = (".safetensors", ".pth", ".pt", ".pth.tar")
SAFE_TORCH = (2, 6)
"""CVE-2025-32434: older ones could be made to execute code by torch.load(weights_only=True)."""
MEND = "give --model.weights FILE or --model.weights scratch"


def read_weights(source: str) -> tuple[str, dict[str, np.ndarray]]:
    """What to call the weights that model.weights names in a message, and all of their tensors."""
    if source == "imagenet":
        return f"{REPOSITORY} ({FILE})", _read_safetensors(_download(), MEND)
    if not source.endswith(ENDINGS):
        raise UserError(
            f"model.weights {source} is neither `imagenet`, `scratch` nor the name of a "
            ".safetensors, .pth or .pth.tar file"
        )
    return source, read_file(Path(source), MEND)


def read_file(path: Path, mend: str) -> dict[str, np.ndarray]:
    """All tensors of a file; half precision comes as float32.

    Args:
        path: .safetensors, or .pth, .pt or .pth.tar (needs torch), by its ending; of a training
            checkpoint its `state_dict`.
        mend: end of the message where it can't be read.

    Raises:
        UserError: no such file, a damaged one, or one that holds more than tensors.
    """
    if not path.name.endswith(ENDINGS):
        raise UserError(f"{path}: its name must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"can't read weights {path}: {error.strerror}; {mend}") from error
    return (_read_safetensors if path.suffix == ".safetensors" else _read_torch)(path, mend)


def write_file(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors as .safetensors, or for torch as `{"state_dict": ...}`, by the name's ending.

    The file appears under its name only when it is whole.

    Raises:
        UserError: another ending, a path that can't be written, or torch is missing.
    """
    if not path.name.endswith(ENDINGS):
        raise UserError(f"{path}: its name must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    from safetensors import SafetensorError

    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from error
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(dict(tensors), partial)
        else:
            torch = _torch(f"writing {path}")
            values = {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
            torch.save({"state_dict": values}, partial)
        partial.replace(path)
    # For a full disk torch raises RuntimeError, safetensors an error of its own.
    except (OSError, RuntimeError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"can't write {path}: {_first_line(error)}") from error


def _torch(purpose: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{purpose} needs torch; install torch, or convert the file to .safetensors"
        ) from error
    release = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if release < SAFE_TORCH:
        raise UserError(
            f"{purpose} needs torch {SAFE_TORCH[0]}.{SAFE_TORCH[1]} or newer, not "
            f"{torch.__version__}: before it, even weights_only=True ran code from a file"
        )
    return torch


def _download() -> Path:
    import huggingface_hub
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # a line for each of its retries would bury ours
    try:
        return Path(huggingface_hub.hf_hub_download(REPOSITORY, FILE, revision=REVISION))
    except Exception as error:  # the hub's, the HTTP client's and the file system's share no base
        raise UserError(
            f"can't get the ImageNet weights {REPOSITORY} ({_first_line(error)}); {MEND}"
        ) from error
    finally:
        logging.set_verbosity(verbosity)


def _read_safetensors(path: Path, mend: str) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"can't read {path} as safetensors ({_first_line(error)}); {mend}"
        ) from error
    except (AttributeError, TypeError, KeyError) as error:  # a type that NumPy hasn't got
        raise UserError(
            f"{path} holds numbers that NumPy can't read ({_first_line(error)}); save it as float32"
        ) from error


def _read_torch(path: Path, mend: str) -> dict[str, np.ndarray]:
    torch = _torch(f"reading {path}")
    from pickle import UnpicklingError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on unusual pickles, which are refused anyway
            saved = torch.load(path, weights_only=True, map_location="cpu")
    except UnpicklingError as error:
        raise UserError(
            f"{path} holds more than tensors (code, or a whole model), which is never loaded; "
            "save model.state_dict() alone"
        ) from error
    except Exception as error:  # torch raises what a damaged file happens to trip over
        raise UserError(
            f"can't read {path} as a torch file ({_first_line(error)}); {mend}"
        ) from error
    if isinstance(saved, Mapping) and isinstance(saved.get("state_dict"), Mapping):
        saved = saved["state_dict"]  # a training checkpoint (.pth.tar)
    if not isinstance(saved, Mapping) or not all(
        isinstance(value, torch.Tensor) and value.layout == torch.strided
        for value in saved.values()
    ):
        raise UserError(f"{path} is no dictionary of tensors; save model.state_dict() alone")
    narrow = (torch.float16, torch.bfloat16)
    return {
        str(name): (value.float() if value.dtype in narrow else value).detach().numpy()
        for name, value in saved.items()
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
