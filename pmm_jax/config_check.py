"""Whether a run's numbers can work together, and the message that names the mend where not."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from pmm_jax.config import Config, RankConfig
from pmm_jax.errors import UserError
from pmm_jax.methods import METHODS

STRIDE = 16
"""Pixels of the image to a cell of the feature map: ResNet's 32, halved by the last layer."""


def feature_map_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the trunk's feature map, in cells."""
    return image_size[0] // STRIDE, image_size[1] // STRIDE


def check(config: Config) -> Config:
    """The config itself, or a UserError that names the first field that can't work and its mend."""
    if METHODS[config.method.name].blocks:
        _check_blocks(config)
    if min(config.data.image_size) < STRIDE:
        raise UserError(
            f"data.image_size {config.data.image_size} leaves no feature map; use at least "
            f"{STRIDE} x {STRIDE}"
        )
    if config.data.erase_probability and config.data.erase_size > min(config.data.image_size):
        raise UserError(
            f"data.erase_size {config.data.erase_size} is larger than the image "
            f"{config.data.image_size[0]}x{config.data.image_size[1]}; "
            f"use at most {min(config.data.image_size)}"
        )
    _check_ranges(config)
    check_ranking(config.evaluate)
    return config


def check_ranking(settings: RankConfig) -> None:
    """Check that what ranks a gallery can work together.

    Raises:
        UserError: a number out of range, or settings that exclude each other.
    """
    for name, least in (
        ("single_shot", 0),
        ("expand_queries", 0),
        ("augment_gallery", 0),
        ("alpha", 0),
        ("probes", 1),
        ("depth", 1),
        ("seed", 0),
    ):
        value = getattr(settings, name)
        if not value >= least:
            raise UserError(f"{name} is {value}; it must be at least {least}")
    if not 1 <= settings.k2 <= settings.k1:
        raise UserError(
            f"re-ranking with k1 = {settings.k1} and k2 = {settings.k2} needs 1 <= k2 <= k1"
        )
    if not 0 <= settings.weight <= 1:
        raise UserError(f"the weight of re-ranking is {settings.weight}; it must be 0 to 1")
    chosen = [name for name in ("rerank", "single_shot", "index") if getattr(settings, name)]
    if len(chosen) > 1:
        raise UserError(f"{' and '.join(chosen)} can't be combined; leave out all but one")
    if (settings.expand_queries or settings.augment_gallery) and settings.distance != "cosine":
        raise UserError(
            "expand_queries and augment_gallery weigh by cosine similarity; set distance to cosine"
        )


def _check_blocks(config: Config) -> None:
    for axis, size, block in zip(
        ("height", "width"), config.data.image_size, config.method.block, strict=True
    ):
        if block < 1 or size < 1:
            raise UserError(f"image and block {axis} must be at least 1, not {size} and {block}")
        unit = STRIDE * block
        if size % unit:
            below, above = size // unit * unit, (size // unit + 1) * unit
            use = f"{below} or {above}" if below else f"{above}"
            raise UserError(
                f"image {axis} {size} is not a multiple of {STRIDE} x block {axis} {block}; "
                f"use {use} (data.image_size, method.block)"
            )
    rows, columns = feature_map_size(config.data.image_size)
    blocks = (rows // config.method.block[0]) * (columns // config.method.block[1])
    if not 0 < config.method.top_k <= blocks:
        raise UserError(
            f"method.top_k {config.method.top_k} must lie between 1 and {blocks}, "
            f"the blocks of a {rows}x{columns} map; lower it, or use smaller blocks"
        )


def check_types(config: Config) -> Config:
    """The config itself, or a UserError that names the first field of a wrong type.

    For config files: they can hold anything, where the command line converts what it reads.
    """
    for group in fields(config):
        values = getattr(config, group.name)
        kind = group.type
        if isinstance(kind, type) and not isinstance(values, kind):
            raise UserError(f"{group.name} is {values!r}; it must be a {kind.__name__}")
        for entry in fields(values):
            value = getattr(values, entry.name)
            if not _fits(value, entry.type):
                wanted = str(entry.type)
                if get_origin(entry.type) is Literal:
                    wanted = f"one of {', '.join(get_args(entry.type))}"
                elif isinstance(entry.type, type) and not get_args(entry.type):
                    wanted = f"of type {entry.type.__name__}"
                raise UserError(f"{group.name}.{entry.name} is {value!r}; it must be {wanted}")
    return config


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        return (
            isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
        )
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _check_ranges(config: Config) -> None:
    at_least: dict[str, tuple[float, float]] = {
        "data.identities_per_batch": (config.data.identities_per_batch, 2),
        "data.images_per_identity": (config.data.images_per_identity, 1),
        "data.workers": (config.data.workers, 1),
        "data.crop_padding": (config.data.crop_padding, 0),
        "data.erase_size": (config.data.erase_size, 1),
        "model.width": (config.model.width, 1 / 16),
        "model.embedding_size": (config.model.embedding_size, 1),
        "model.depth": (min(config.model.depth), 1),
        "optim.peak_lr": (config.optim.peak_lr, 0),
        "optim.warmup_epochs": (config.optim.warmup_epochs, 0),
        "optim.warmup_stair": (config.optim.warmup_stair, 1),
        "optim.weight_decay": (config.optim.weight_decay, 0),
        "optim.decoupled_decay": (config.optim.decoupled_decay, 0),
        "train.epochs": (config.train.epochs, 1),
        "train.seed": (config.train.seed, 0),
        "train.log_every": (config.train.log_every, 1),
        "train.steps_per_call": (config.train.steps_per_call, 0),
        "data.device_gib": (config.data.device_gib, 0),
        "train.evaluate_every": (config.train.evaluate_every, 0),
        "train.checkpoint_every": (config.train.checkpoint_every, 1),
        "train.profile_steps": (config.train.profile_steps, 1),
        "evaluate.batch_size": (config.evaluate.batch_size, 1),
        "evaluate.chunk": (config.evaluate.chunk, 1),
    }
    for name, (value, least) in at_least.items():
        if not value >= least:
            raise UserError(f"{name} is {value}; it must be at least {least:g}")
    fractions = {
        "data.flip_probability": config.data.flip_probability,
        "data.color_jitter": config.data.color_jitter,
        "data.erase_probability": config.data.erase_probability,
        "data.train_fraction": config.data.train_fraction,
        "method.label_smoothing": config.method.label_smoothing,
        "method.drop_height": config.method.drop_height,
    }
    for name, value in fractions.items():
        if not 0 <= value <= 1:
            raise UserError(f"{name} is {value}; it must lie between 0 and 1")
    if not 0 <= config.optim.average_decay < 1:
        raise UserError(
            f"optim.average_decay is {config.optim.average_decay}; it must be 0 or more, below 1"
        )
    if not all(0 <= beta < 1 for beta in config.optim.betas):
        raise UserError(f"optim.betas are {config.optim.betas}; each must be 0 or more, below 1")
    if not config.optim.eps > 0:
        raise UserError(f"optim.eps is {config.optim.eps}; it must be above 0")
    first, second = config.optim.decay_epochs
    if not 0 < first <= second:
        raise UserError(f"optim.decay_epochs are {first} and {second}; they must ascend from 1")
