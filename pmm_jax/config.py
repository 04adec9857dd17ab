"""Every number of a run, as frozen dataclasses. The command line is built from them (cli.py).

The defaults are the paper's settings for Market-1501 (section 3.1) on the released network; where
paper and release differ, the field says which one it follows.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin

from pmm_jax.errors import UserError

Dataset = Literal["market1501", "dukemtmc", "cuhk03_detected", "cuhk03_labeled", "msmt17", "folder"]


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how a batch is made of them."""

    name: Dataset = "market1501"
    """Data set; decides how files and names under root are read."""
    root: str = "data/Market-1501-v15.09.15"
    """Folder with the data set as published; for `folder`, a folder or a CSV file of your own."""
    prepared: str = "data/prepared"
    """Folder for the prepared (tfds, array_record) form of every data set."""
    image_size: tuple[int, int] = (384, 128)
    """Height and width in pixels that images are resized to (bilinear)."""
    identities_per_batch: int = 16
    """P: identities in a batch."""
    images_per_identity: int = 4
    """K: images of each identity; drawn with replacement where an identity has fewer."""
    train_fraction: float = 0.5
    """Share of the identities used for training, where a `folder` set names no split."""
    flip_probability: float = 0.5
    """Chance that an image is mirrored."""
    crop_padding: int = 0
    """Zero pixels padded on each side before a random crop back to size; 0 turns it off."""
    erase_probability: float = 0.5
    """Chance that one square of an image is set to the data set mean (0 once normalised)."""
    erase_size: int = 64
    """Side in pixels of the erased square."""
    memory_gib: float = 8.0
    """Decode a split once and keep it as uint8 where it takes no more than this; else per batch."""
    workers: int = 2
    """Threads that read and decode images."""


@dataclass(frozen=True)
class ModelConfig:
    """ResNet-50 with stride 1 in its last layer, a part block and three heads."""

    depth: tuple[int, int, int, int] = (3, 4, 6, 3)
    """Bottleneck blocks in layer1..layer4; (3, 4, 6, 3) is ResNet-50."""
    width: float = 1.0
    """Multiplies every channel count of the trunk and the part block."""
    embedding_size: int = 512
    """Length of each stage's embedding."""
    weights: str = "imagenet"
    """Initial trunk: `imagenet` (torchvision's ResNet-50, by huggingface_hub), a .safetensors or
    .pth file, or `scratch` (random)."""
    zero_last_scale: bool = False
    """Start each residual block's last BatchNorm scale at 0, the part block's too, so that the
    block starts as the identity: helps training from scratch."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; parameters, statistics and losses stay float32."""


@dataclass(frozen=True)
class MethodConfig:
    """Progressive multi-stage feature mix (paper, section 2)."""

    name: Literal["pmm", "baseline"] = "pmm"
    """`pmm`, or `baseline`: the trunk with stage I alone."""
    top_k: int = 3
    """K: highest-ranked blocks that are replaced (paper: 3 Market, 6 Duke, 8 CUHK03)."""
    block: tuple[int, int] = (3, 2)
    """Height and width of a block in cells of the feature map."""
    cumulative: bool = False
    """Stage III starts from stage II's mixed map (the paper's words) instead of the clean map
    (the release)."""
    label_smoothing: float = 0.1
    """Epsilon of the label-smoothed cross entropy."""


@dataclass(frozen=True)
class OptimConfig:
    """Adam with L2 added to the gradient."""

    peak_lr: float = 1e-3
    """Highest learning rate."""
    schedule: Literal["step", "cosine"] = "step"
    """`step`: the release's stairs by epoch; `cosine`: linear warm-up, then cosine to 0."""
    warmup_epochs: float = 49
    """Epochs of warm-up. `step` climbs a tenth of peak_lr every warmup_stair epochs."""
    warmup_stair: int = 5
    """Epochs between two stairs of the `step` warm-up."""
    decay_epochs: tuple[int, int] = (200, 300)
    """First epochs (counted from 1) at which `step` divides the rate by 10, and again by 10."""
    weight_decay: float = 5e-4
    """L2 coefficient, added to the gradient of every parameter."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay of the first and second moment."""
    eps: float = 1e-8
    """Adam's epsilon."""


@dataclass(frozen=True)
class TrainConfig:
    """Length of the run, and what is written when."""

    epochs: int = 400
    """An epoch shows every identity once, with K images."""
    seed: int = 0
    """Seed of the initial weights, batches, augmentation and negatives."""
    log_every: int = 10
    """Steps between two training lines of metrics.jsonl; the host waits for the device there."""
    evaluate_every: int = 50
    """Epochs between two evaluations; the last epoch is always evaluated, 0 leaves only that."""
    checkpoint_every: int = 10
    """Epochs between two checkpoints; the last epoch is always saved."""
    profile_steps: int = 5
    """Steps that --profile records, after the first ten."""


@dataclass(frozen=True)
class EvaluateConfig:
    """How query and gallery are embedded and ranked."""

    batch_size: int = 128
    """Images embedded at once."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Which checkpoint eval.py reads; best is by mAP, on the same query and gallery."""
    chunk: int = 256
    """Queries whose distances to the gallery are held at once."""


@dataclass(frozen=True)
class Config:
    """One run."""

    data: DataConfig = field(default_factory=DataConfig)
    """Images and batches."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Network."""
    method: MethodConfig = field(default_factory=MethodConfig)
    """Feature mix and losses."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Optimiser and schedule."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Length and logging."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    """Evaluation."""


STRIDE = 16
"""Pixels of the image to a cell of the feature map: ResNet's 32, halved by the last layer."""


def feature_map_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the trunk's feature map, in cells."""
    return image_size[0] // STRIDE, image_size[1] // STRIDE


def check(config: Config) -> Config:
    """The config itself, or a UserError that names the first field that can't work and its mend."""
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
    if config.data.erase_size > min(config.data.image_size):
        raise UserError(
            f"data.erase_size {config.data.erase_size} is larger than the image "
            f"{config.data.image_size[0]}x{config.data.image_size[1]}; "
            f"use at most {min(config.data.image_size)}"
        )
    _check_ranges(config)
    return config


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
        "train.epochs": (config.train.epochs, 1),
        "train.seed": (config.train.seed, 0),
        "train.log_every": (config.train.log_every, 1),
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
        "data.erase_probability": config.data.erase_probability,
        "data.train_fraction": config.data.train_fraction,
        "method.label_smoothing": config.method.label_smoothing,
    }
    for name, value in fractions.items():
        if not 0 <= value <= 1:
            raise UserError(f"{name} is {value}; it must lie between 0 and 1")
    if not all(0 <= beta < 1 for beta in config.optim.betas):
        raise UserError(f"optim.betas are {config.optim.betas}; each must be 0 or more, below 1")
