"""Checks of a config across its fields, with a hint in every message; each field has its own."""

import json
from collections import Counter
from typing import Any, get_origin, get_type_hints

from pmm_jax.config import Config, RankConfig
from pmm_jax.errors import UserError
from pmm_jax.fields import check_fields, expand_paths, shown
from pmm_jax.registry import METHODS

STRIDE = 16
"""Pixels of the image to a cell of the feature map: ResNet's 32, halved by the last layer."""

LARGEST = 2**31
"""Most values of a batch of images: some of XLA's kernels count in 32 bits."""


def feature_map_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the trunk's feature map, in cells."""
    return image_size[0] // STRIDE, image_size[1] // STRIDE


def check(config: Config) -> Config:
    """Check a config across its fields and return it.

    Raises:
        UserError: a field that can't work, with a hint.
    """
    check_fields(config)
    height, width = config.data.image_size
    METHODS[config.method.name].check(config)
    if config.data.erase_probability and config.data.erase_size > min(height, width):
        raise UserError(
            f"data.erase_size {config.data.erase_size} is larger than the image "
            f"{height}x{width}; use at most {min(height, width)}"
        )
    images = config.data.identities_per_batch * config.data.images_per_identity
    _check_batch(images, config, "data.identities_per_batch, data.images_per_identity")
    _check_batch(config.evaluate.batch_size, config, "evaluate.batch_size")
    first, second = config.optim.milestones
    if first > second:
        raise UserError(f"optim.milestones are {first} and {second}; they must ascend")
    if config.optim.min_lr > config.optim.peak_lr:
        raise UserError(
            f"optim.min_lr {config.optim.min_lr} is above optim.peak_lr {config.optim.peak_lr}; "
            "lower it"
        )
    check_ranking(config.evaluate)
    return config


def check_ranking(settings: RankConfig) -> None:
    """Check that the settings of a ranking are compatible.

    Raises:
        UserError: a number out of range, or settings that exclude each other.
    """
    check_fields(settings)
    if settings.k2 > settings.k1:
        raise UserError(
            f"re-ranking with k1 = {settings.k1} and k2 = {settings.k2} needs 1 <= k2 <= k1"
        )
    chosen = [name for name in ("rerank", "single_shot", "faiss_index") if getattr(settings, name)]
    if len(chosen) > 1:
        raise UserError(f"{' and '.join(chosen)} can't be combined; leave out all but one")
    if (settings.query_expansion_k or settings.dba_k) and settings.distance != "cosine":
        raise UserError(
            "query_expansion_k and dba_k weigh by cosine similarity; set distance to cosine"
        )


def _check_batch(images: int, config: Config, names: str) -> None:
    height, width = config.data.image_size
    if images * height * width * 3 > LARGEST:
        most = LARGEST // (height * width * 3)
        raise UserError(
            f"a batch of {images:,} images of {height}x{width} is too large; use at most {most:,} "
            f"images ({names}) or smaller ones (data.image_size)"
        )


def parse_config(text: str | bytes) -> Config:
    """The config that json.dumps(dataclasses.asdict(config)) wrote, checked as a command line is.

    Fields that it lacks are younger than the text and have their defaults. Beside the config's
    groups there may be `run`, which is not looked at.

    Raises:
        UserError: it is none, or has a wrong value; the field is named.
    """
    try:
        found = json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise UserError("not a run's config: nested too deeply") from None
    except ValueError as error:  # no JSON, no UTF-8, or an integer of thousands of digits
        raise UserError(f"not a run's config: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"not a run's config: {shown(found)}")
    kinds, groups = get_type_hints(Config), {}
    _refuse_unknown("", set(found) - set(kinds) - {"run"})
    for name, kind in kinds.items():
        values = found.get(name)
        if not isinstance(values, dict):
            raise UserError(f"not a run's config: its {name} is {shown(values)}")
        types = get_type_hints(kind)
        _refuse_unknown(f"{name}.", set(values) - set(types))
        groups[name] = kind(**{key: _as(types[key], value) for key, value in values.items()})
    return expand_paths(check(Config(**groups)))


def _refuse_unknown(prefix: str, names: set[str]) -> None:
    if names:
        raise UserError(f"this version has no field {shown(f'{prefix}{min(names)}')}")


def _as(kind: Any, value: Any) -> Any:
    """JSON has lists alone."""
    return tuple(value) if get_origin(kind) is tuple and isinstance(value, list) else value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise UserError(f"not a run's config: it has {shown(name)} twice")
    return found
