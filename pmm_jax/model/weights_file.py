"""Tensors of a weights file, by name, without executing what the file may hold."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pmm_jax.errors import UserError

REPOSITORY = "timm/resnet50.tv_in1k"
"""Torchvision's ResNet-50 (IMAGENET1K_V1, the weights that the release starts from)."""
REVISION = "aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8"
"""Pinned, so that two runs never start from different weights; later commits change its README."""
FILE = "model.safetensors"

MEND = "give --model.weights FILE or --model.weights scratch"


def read_weights(source: str) -> tuple[str, dict[str, np.ndarray]]:
    """What to call the weights in a message, and all of their tensors."""
    if source == "imagenet":
        return f"{REPOSITORY} ({FILE})", _read_safetensors(_download())
    path = Path(source)
    if not path.name.endswith((".safetensors", ".pth", ".pt", ".pth.tar")):
        raise UserError(
            f"model.weights {source} is neither `imagenet`, `scratch` nor the name of a "
            ".safetensors, .pth or .pth.tar file"
        )
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"can't read weights {path}: {error.strerror}; {MEND}") from error
    return source, _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


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


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"can't read {path} as safetensors ({_first_line(error)}); {MEND}"
        ) from error
    except (AttributeError, TypeError, KeyError) as error:  # a type that NumPy hasn't got
        raise UserError(
            f"{path} holds numbers that NumPy can't read ({_first_line(error)}); save it as float32"
        ) from error


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path} needs torch; install torch, or convert the file to .safetensors"
        ) from error
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
            f"can't read {path} as a torch file ({_first_line(error)}); {MEND}"
        ) from error
    if isinstance(saved, Mapping) and isinstance(saved.get("state_dict"), Mapping):
        saved = saved["state_dict"]  # a training checkpoint (.pth.tar)
    if not isinstance(saved, Mapping) or not all(
        isinstance(value, torch.Tensor) and value.layout == torch.strided
        for value in saved.values()
    ):
        raise UserError(f"{path} is no dictionary of tensors; save model.state_dict() alone")
    return {
        str(name): (value.float() if value.is_floating_point() else value).detach().numpy()
        for name, value in saved.items()
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
