"""Tensors of a file that torch.save wrote: nothing else in it is loaded, and no code is run."""

import logging
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from pmm_jax.errors import UserError, missing_extra
from pmm_jax.files import printable

_log = logging.getLogger(__name__)

SAFE_TORCH = (2, 6)
"""CVE-2025-32434: older ones could be made to execute code by torch.load(weights_only=True)."""
ALONE = "save model.state_dict() alone"


STATES = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema", "teacher"),
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "student"),
)
"""Keys of the model in training checkpoints, by preference: averages first, as in timm."""

DEEPEST = 3
"""Dictionaries around a state; a pickle may hold itself."""

_TORCH_TYPES = {"float64", "float32", "int64", "int32", "int16", "int8", "uint8", "bool"}


def import_torch(purpose: str) -> Any:
    """The module, where it is installed and recent enough to read files safely.

    Raises:
        UserError: it isn't; `purpose` begins the message.
    """
    try:
        import torch
    except ImportError as error:
        raise missing_extra(purpose, "torch", "convert the file to .safetensors") from error
    release = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if release < SAFE_TORCH:
        raise UserError(
            f"{purpose} needs torch {SAFE_TORCH[0]}.{SAFE_TORCH[1]} or newer, not "
            f"{torch.__version__}: before it, a file could run code of its own"
        )
    return torch


def read_torch(path: Path, file: BinaryIO, hint: str) -> dict[str, np.ndarray]:
    """All tensors of a file that torch.save wrote; arguments are those of `read_file`."""
    torch = import_torch(f"reading {path}")
    from pickle import UnpicklingError

    try:
        _check_archive(path, file, hint)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_IGNORED):
            warnings.simplefilter("ignore")  # advice on unusual pickles, which are refused anyway
            saved = torch.load(file, weights_only=True, map_location="cpu")
    except UserError:
        raise
    except UnpicklingError as error:  # torch's message advises to execute what is in the file
        code = re.search(r"(?:GLOBAL|class) `?([\w.]+)", str(error))
        if code is None:
            raise UserError(
                f"can't read {path} as a torch file: its pickle is damaged; {hint}"
            ) from error
        raise UserError(
            f"{path} holds more than tensors ({code[1]}: code, or a whole model), which is never "
            f"loaded; {ALONE}"
        ) from error
    except Exception as error:  # torch raises what a damaged file happens to trip over
        raise UserError(
            f"can't read {path} as a torch file ({first_line(error)}); {hint}"
        ) from error
    return {
        name: _values(path, name, value, torch)
        for name, value in _state(path, saved, torch).items()
    }


def _check_archive(path: Path, file: BinaryIO, hint: str) -> None:
    """Refuse zip archives that torch didn't save, are too large unpacked, or damaged."""
    if file.read(2) == b"PK":
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
        names = [entry.filename.rpartition("/")[2] for entry in entries]
        if "constants.pkl" in names:
            raise UserError(
                f"{path} is a TorchScript archive, that is a program; {ALONE} with torch.save, of "
                "the model that it was made from or of torch.jit.load(...)"
            )
        if "data.pkl" not in names:
            form = "an npz file" if any(n.endswith(".npy") for n in names) else "a zip archive"
            raise UserError(f"{path} is {form}, not one that torch.save wrote; {ALONE}")
        if sum(entry.file_size for entry in entries) > file.seek(0, os.SEEK_END):
            raise UserError(f"{path} unpacks to more than torch.save writes; {ALONE}")
        # torch.load doesn't look at the checksums that torch.save writes.
        damaged = archive.testzip()
        if damaged:
            raise UserError(f"{path} is damaged: {printable(damaged)} is not as written; {hint}")
    file.seek(0)


def _state(path: Path, saved: Any, torch: Any) -> Mapping[str, Any]:
    """The state of the model in a checkpoint, wherever it lies there."""
    for _ in range(DEEPEST):
        if _is_state(saved, torch):
            return saved
        entries = saved.items() if isinstance(saved, Mapping) else ()
        inner = {
            str(name): value for name, value in entries if isinstance(value, Mapping) and value
        }
        found = {name: value for name, value in inner.items() if _is_state(value, torch)}
        found = found or {name: inner[name] for name in STATES if name in inner}
        if not found:
            break
        chosen = next((name for name in STATES if name in found), next(iter(found)))
        others = ", ".join(printable(name) for name in found if name != chosen)
        if others and chosen not in STATES:
            raise UserError(f"{path} holds several states ({printable(chosen)}, {others}); {ALONE}")
        if others:
            _log.warning("%s: read %s; left out %s", path, chosen, others)
        saved = found[chosen]
    raise UserError(f"{path} is no dictionary of tensors{_odd_entry(saved, torch)}; {ALONE}")


def _odd_entry(saved: Any, torch: Any) -> str:
    if not isinstance(saved, Mapping):
        return f" but a {type(saved).__name__}"
    for name, value in saved.items():
        if not isinstance(value, torch.Tensor):
            return f" ({printable(str(name))} is a {type(value).__name__})"
    return ""


def _is_state(value: Any, torch: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items()
    )


def _values(path: Path, name: str, value: Any, torch: Any) -> np.ndarray:
    """A tensor's numbers, half precision as float32."""
    if value.is_nested or value.layout != torch.strided:
        refuse_tensor(path, name, "is sparse or nested")
    if value.is_meta:
        refuse_tensor(path, name, "is on the meta device, that is without values")
    if value.dtype in (torch.float16, torch.bfloat16):
        value = value.float()
    if value.is_quantized or str(value.dtype).removeprefix("torch.") not in _TORCH_TYPES:
        refuse_tensor(path, name, f"is of type {value.dtype}")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        refuse_tensor(path, name, "repeats fewer values than its shape has places")
    return value.detach().resolve_neg().numpy()


def refuse_tensor(path: Path, name: str, fault: str) -> NoReturn:
    """Refuse a file for one of its tensors."""
    raise UserError(f"{path}: {printable(name)} {fault}; save it as a plain float32 tensor")


def first_line(error: Exception) -> str:
    """A library's message, as far as it fits into ours."""
    return printable((str(error).strip() or type(error).__name__).splitlines()[0])


class _Ignored:
    """Stands in for what checkpoints keep beside their tensors, and reads none of it."""

    def __new__(cls, *_: object) -> "_Ignored":
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


_IGNORED = [
    (_Ignored, name)
    for name in (
        "argparse.Namespace",
        "numpy.dtype",
        "numpy.ndarray",
        *(
            f"numpy.{core}.multiarray.{f}"
            for core in ("core", "_core")
            for f in ("scalar", "_reconstruct")
        ),
    )
]
"""Torchreid keeps its Rank-1 as a NumPy scalar beside the state, many others their options."""
