"""A model in one file: weights under PyTorch's names, and a header that says what they are.

The file is a safetensors file (model/safetensors_file.py), so that reading it executes nothing, and
load_torch and other tools read its weights. The header (JSON):

    format          1
    pmm_jax         version that wrote the file
    kind            of network: pmm, baseline, bdb or trunk
    identities      that it was trained on; 0 of a bare trunk
    preprocessing   image_size (height, width), color, range, mean, std, resize
    run             what is known of the training (`ModelInfo`); null where that is nothing
    calibration     a threshold (`Calibration`); null where nobody has calibrated the model

The network follows from the tensors; what the header says must agree with it, and no path in it is
ever opened. This lies below `api`, whose `load` reads such files; `export` stands above.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import jax.numpy as jnp

from pmm_jax.calibration import Calibration, parse_calibration
from pmm_jax.config import Config, DataConfig
from pmm_jax.config_check import parse_config
from pmm_jax.data.augment import MEAN, STD
from pmm_jax.errors import UserError
from pmm_jax.fields import check_fields, names_in, shown
from pmm_jax.methods import create_model, get_method
from pmm_jax.model.pmm import Kind, Network, Tree
from pmm_jax.model.resnet import LAYER_WIDTHS, scaled
from pmm_jax.model.safetensors_file import encode_safetensors
from pmm_jax.model.torch_checkpoint import Loaded, Tensors, load_state_dict
from pmm_jax.model.weights_file import read_with_header, write_whole

FORMAT = 1
_HINT = "give a run's folder, or a file that pmm export RUN MODEL.safetensors wrote"
_LONGEST_LINE = 2000
_MOST_FIGURES = 100
_FOLDERS = names_in(Config, "host")
_WRONG = (AttributeError, KeyError, RecursionError, TypeError, ValueError)
"""What JSON of another shape than ours raises."""
_PREPROCESSING = {
    "color": "RGB",
    "range": [0, 1],
    "mean": [float(str(value)) for value in MEAN],
    "std": [float(str(value)) for value in STD],
    "resize": "bilinear",
}
"""What every network here is fed: pixels of that range, less the mean, over the deviation."""


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a trained model besides its weights."""

    config: Config
    """Of its run; one that was read from a file knows no folder of the machine that trained it."""
    step: int
    """Training steps behind the weights."""
    data_fingerprint: str | None
    """Digest of the prepared data; None where it is unknown."""
    metrics: Mapping[str, float | None]
    """Metrics of the run's evaluation of these weights, as fractions; empty without one."""
    intervals: Mapping[str, tuple[float, float]]
    """95 % intervals of metrics, where they are known."""
    data_license: str = ""
    """License of the training data in its user's words; empty where nobody has stated it."""
    weights_license: str = ""
    """Likewise of the weights."""


class ModelParts(NamedTuple):
    """What a model file holds: the arguments of `api.Model`."""

    kind: Kind
    network: Network
    params: Tree
    batch_stats: Tree
    image_size: tuple[int, int]
    info: ModelInfo | None
    calibration: Calibration | None = None


def fingerprint_of(tensors: Tensors, image_size: tuple[int, int]) -> str:
    """SHA-256 of weights and preprocessing: of all that an embedding depends on.

    Args:
        tensors: by PyTorch's names.
        image_size: height and width.
    """
    digest = hashlib.sha256(json.dumps(_preprocessing(image_size)).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, value.dtype.str, value.shape]).encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def write_model_file(path: Path, parts: ModelParts, tensors: Tensors, identities: int) -> None:
    """Write a model file, whole or not at all.

    Args:
        path: of the file.
        parts: of the model.
        tensors: its weights by PyTorch's names.
        identities: that it was trained on.

    Raises:
        UserError: a license note that is no line of text, or a path that can't be written.
    """
    header = {
        "format": FORMAT,
        "pmm_jax": sys.modules["pmm_jax"].__version__,
        "kind": parts.kind,
        "identities": identities,
        "preprocessing": _preprocessing(parts.image_size),
        "run": None if parts.info is None else _run(parts.info),
        "calibration": None if parts.calibration is None else parts.calibration.as_json(),
    }
    write_whole(path, encode_safetensors(tensors, header))


def read_model_file(path: Path) -> ModelParts:
    """The model in a file.

    Raises:
        WeightsAlone: the file is one of weights alone.
        UserError: there is no such file, it is damaged, or not of this version.
    """
    tensors, header = read_with_header(path, _HINT)
    if header.get("format") != FORMAT:
        raise UserError(
            f"{path} is a model file of format {shown(header.get('format'))}, and this version of "
            f"pmm_jax reads format {FORMAT}; use the version that wrote it"
        )
    return model_parts(path, load_state_dict(str(path), tensors), header)


def model_parts(path: Path, loaded: Loaded, header: Mapping[str, Any]) -> ModelParts:
    """The model, once all that the header says of it is found true.

    Args:
        path: of the file, for messages.
        loaded: its network with its weights.
        header: as `read_with_header` reads it.

    Raises:
        UserError: the header is no model file's, or says what isn't so.
    """
    try:
        return _parts(loaded, header)
    except (*_WRONG, UserError) as error:
        word = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path} is not a sound model file: {word}; {_HINT}") from error


def _published(config: Config) -> dict[str, dict[str, Any]]:
    """A config as JSON, without what is one machine's: no folder, and of a file its name alone."""
    groups = _without_folders(asdict(config))
    groups["model"]["weights"] = PurePath(config.model.weights).name
    groups["method"]["saliency_model"] = PurePath(config.method.saliency_model).name
    return groups


def _without_folders(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        group: {name: value for name, value in values.items() if f"{group}.{name}" not in _FOLDERS}
        for group, values in groups.items()
    }


def _preprocessing(image_size: tuple[int, int]) -> dict[str, Any]:
    return {"image_size": list(image_size), **_PREPROCESSING}


def _run(info: ModelInfo) -> dict[str, Any]:
    _check_line("the data's license", info.data_license)
    _check_line("the weights' license", info.weights_license)
    return {
        **{field.name: getattr(info, field.name) for field in fields(info)},
        "config": _published(info.config),
        "metrics": dict(info.metrics),
        "intervals": dict(info.intervals),
    }


def _parts(loaded: Loaded, header: Mapping[str, Any]) -> ModelParts:
    run, kind, network = header["run"], loaded.kind, loaded.network
    info = None if run is None else _info(run)
    if info is not None:
        kind = get_method(info.config).network
        _check_network(info.config, loaded)
        network = network._replace(compute_dtype=jnp.dtype(info.config.model.compute_dtype))
    identities = 0 if kind == "trunk" else loaded.num_ids
    if (header["kind"], header["identities"]) != (kind, identities):
        raise ValueError(f"its weights are those of a network of kind {kind} for {identities}")
    height, width = header["preprocessing"]["image_size"]
    size = (height, width)
    check_fields(DataConfig(image_size=size))
    if info is not None and info.config.data.image_size != size:
        raise ValueError("its run has another image size")
    if header["preprocessing"] != _preprocessing(size):
        raise ValueError("its preprocessing is another than this version's")
    found = header["calibration"]
    calibration = None if found is None else parse_calibration(found)
    return ModelParts(kind, network, loaded.params, loaded.batch_stats, size, info, calibration)


def _info(run: Mapping[str, Any]) -> ModelInfo:
    names = {field.name for field in fields(ModelInfo)}
    if set(run) != names:
        raise ValueError(f"this version has no field {shown(min(set(run) ^ names))}")
    metrics, intervals = run["metrics"], run["intervals"]
    for text in (run["data_license"], run["weights_license"], *metrics, *intervals):
        _check_line("a text of its header", text)
    if run["data_fingerprint"] is not None:
        _check_line("the data's fingerprint", run["data_fingerprint"])
    if type(run["step"]) is not int:
        raise ValueError("its step is no number")
    config = parse_config(json.dumps(_without_folders(run["config"])))
    pairs = {name: tuple(map(_fraction, pair)) for name, pair in intervals.items()}
    if len(metrics) > _MOST_FIGURES or any(len(pair) != 2 for pair in pairs.values()):
        raise ValueError("its metrics are not those of a run")
    return ModelInfo(
        **{
            **run,
            "config": config,
            "metrics": {n: None if v is None else _fraction(v) for n, v in metrics.items()},
            "intervals": pairs,
        }
    )


def _fraction(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"a metric is {shown(value)}, which is no fraction")
    return float(value)


def _check_network(config: Config, loaded: Loaded) -> None:
    """Check that a config describes the network that the tensors are those of."""
    ours, found = config.model, loaded.model
    wanted = create_model(config, loaded.num_ids)
    same = ("stage_sizes", "embedding_size", "pooling", "neck", "ibn_a")
    if (
        any(getattr(ours, name) != getattr(found, name) for name in same)
        or [scaled(w, ours.width) for w in LAYER_WIDTHS]
        != [scaled(w, found.width) for w in LAYER_WIDTHS]
        or list(wanted.modules) != list(loaded.network.modules)
    ):
        raise ValueError("its weights are not those of its config")


def _check_line(name: str, text: str) -> None:
    if not text.isprintable() or len(text) > _LONGEST_LINE:
        raise UserError(
            f"{name} is {shown(text)}; it must be a line of at most {_LONGEST_LINE} characters"
        )
