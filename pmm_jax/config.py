"""Every number of a run, as frozen dataclasses. The command line is built from them (cli/).

The defaults are the paper's settings for Market-1501 (section 3.1) on the released network; where
paper and release differ, the field says which one it follows.
"""

from dataclasses import dataclass, field
from typing import Literal

from pmm_jax.fields import choice, number, option, path
from pmm_jax.registry import DATASETS, METHODS

SEEDS = 2**31 - 1
"""Largest seed: jax takes 32 bits, one of them for the sign."""


@dataclass(frozen=True)
class DataConfig:
    """Data set, batches and augmentation."""

    name: str = choice("market1501", DATASETS)
    """Data set (docs/guides/data.md lists them); decides how files and names under root are
    read."""
    root: str = path("data/Market-1501-v15.09.15", scope="host")
    """Folder with the data set as published; for `folder`, a folder or a CSV file of your own."""
    cache_dir: str = path("data/prepared", scope="host")
    """Folder that caches the prepared (tfds, array_record) form of every data set."""
    image_size: tuple[int, int] = number((384, 128), 16, 2048)
    """Height and width in pixels that images are resized to (bilinear)."""
    identities_per_batch: int = number(16, 2, 4096)
    """P: identities in a batch."""
    images_per_identity: int = number(4, 1, 1024)
    """K: images of each identity; sampled with replacement where an identity has fewer."""
    train_fraction: float = number(0.5, 0, 1)
    """Fraction of the identities used for training, where a `folder` set names no split."""
    cameras: Literal["read", "ignore"] = "read"
    """`ignore`: take all cameras as unknown, so that a query's matches count whichever camera they
    are from."""
    allow_duplicates: bool = False
    """Accept images of train that are, byte for byte, in query or gallery, too."""
    flip_probability: float = number(0.5, 0, 1)
    """Chance that an image is mirrored."""
    crop_padding: int = number(0, 0, 512)
    """Zero pixels padded on each side before a random crop back to size; 0 turns it off."""
    color_jitter: float = number(0.0, 0, 1)
    """Each image's brightness, contrast and saturation are multiplied by factors sampled from 1 -
    to 1 + this value; 0 turns it off (the release has none)."""
    erase_probability: float = number(0.5, 0, 1)
    """Chance that one square of an image is set to ImageNet's mean color (0 once normalized)."""
    erase_size: int = number(64, 1, 2048)
    """Side in pixels of the erased square."""
    host_cache_gib: float = number(8.0, 0, 65536, scope="host")
    """Cache the decoded training split, as uint8, in host memory if it fits in this many GiB;
    otherwise decode each image every time."""
    device_cache_gib: float = number(4.0, 0, 65536, scope="execution")
    """Cache the decoded training split on every device if it fits in this many GiB."""
    num_workers: int = number(2, 1, 256, scope="host")
    """Threads that read and decode images."""


@dataclass(frozen=True)
class ModelConfig:
    """ResNet-50 with stride 1 in its last layer, a part block and three heads."""

    stage_sizes: tuple[int, int, int, int] = number((3, 4, 6, 3), 1, 64)
    """Bottleneck blocks in layer1..layer4; (3, 4, 6, 3) is ResNet-50."""
    width: float = number(1.0, 1 / 16, 8)
    """Multiplies every channel count of the trunk and the part block."""
    embedding_size: int = number(512, 1, 16384)
    """Length of each stage's embedding."""
    pooling: Literal["avg_max", "gem"] = "avg_max"
    """`avg_max` (the paper's): stage I's head pools by the average, the others by the maximum;
    `gem`: every head by the generalized mean, with a learned power (Radenović et al., 2019)."""
    neck: Literal["bn_relu", "bnneck"] = "bn_relu"
    """`bn_relu` (the paper's): both losses and the test take the embedding after BatchNorm and
    ReLU; `bnneck`: the triplet loss takes it before BatchNorm, identity loss and test after it,
    without ReLU (Luo et al., 2019)."""
    ibn_a: bool = False
    """IBN-a trunk (Pan et al., 2018): in every block of layer1 to layer3, the first half of the
    channels of the first norm by each image's own statistics (InstanceNorm), the rest by BatchNorm.
    Its ImageNet weights are a file of their own (docs/guides/methods.md)."""
    weights: str = path("imagenet")
    """Initial trunk: `imagenet` (torchvision's ResNet-50, by huggingface_hub), a .safetensors or
    .pth file (such a trunk, or a trained model that `convert` wrote), or `scratch` (random)."""
    zero_init_last: bool = False
    """Zero-initialize the scale of the last BatchNorm of every residual block, the part block
    included, so that each block starts as the identity; helps training from scratch."""
    remat: bool = option(False, scope="execution")
    """Rematerialize the residual blocks in the backward pass (jax.checkpoint): less memory, about a
    third more time."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; parameters, statistics and losses stay float32."""


@dataclass(frozen=True)
class MethodConfig:
    """Progressive multi-stage feature mix (paper, section 2), or what it is compared with."""

    name: str = choice("pmm", METHODS)
    """`pmm`, or a method that it is compared with (docs/guides/methods.md); `none` has three
    heads and no mixing, `baseline` stage I alone."""
    stages: Literal[1, 2, 3] = 3
    """Stages of all methods but `bdb` and `baseline`."""
    top_k: int = number(3, 1, 16384)
    """K: highest-ranked blocks that are replaced (paper: 3 Market, 6 Duke, 8 CUHK03)."""
    block: tuple[int, int] = number((3, 2), 1, 128)
    """Height and width of a block in cells of the feature map."""
    negatives: Literal["shard", "batch"] = "shard"
    """Source of an image's negative: the images on its own device, so that no feature map
    crosses devices (the whole batch where a device has one identity), or always the whole batch.
    The same on one device."""
    mining: Literal["random", "hardest"] = "random"
    """The negative: `random` is the paper's; `hardest` the image of another identity that is the
    nearest by the embedding of the stage before."""
    cumulative: bool = False
    """Stage III starts from stage II's mixed map (the paper's words) instead of the clean map
    (the release)."""
    label_smoothing: float = number(0.1, 0, 1)
    """Epsilon of the label-smoothed cross entropy."""
    center_loss: float = number(0.0, 0, 100)
    """Weight of each stage's center loss (Wen et al., 2016), 5e-4 in Luo et al. (2019); 0 turns it
    off."""
    drop_ratio: float = number(0.33, 0, 1)
    """`bdb`: fraction of the feature map's rows that are dropped."""
    saliency_model: str = path("own")
    """`a_cutmix`: the trunk whose activations give the saliency map: `own`, the one in training;
    `imagenet`, torchvision's ResNet-50; or a file that holds a network."""


@dataclass(frozen=True)
class OptimConfig:
    """Optimizer and learning rate."""

    optimizer: Literal["adam", "adamw"] = "adam"
    """`adam` (the paper's) adds weight_decay to the gradient, as PyTorch's Adam does; `adamw`
    decouples it (Loshchilov and Hutter, 2019)."""
    peak_lr: float = number(1e-3, 0, 100)
    """Highest learning rate."""
    schedule: Literal["step", "cosine"] = "step"
    """`step`: the release's piecewise constant rate; `cosine`: linear warm-up, then a half cosine
    down to min_lr."""
    warmup_epochs: float = number(49, 0, 100_000)
    """Epochs of warm-up. `step` raises the rate by a tenth of peak_lr every warmup_step_epochs."""
    warmup_step_epochs: int = number(5, 1, 100_000)
    """Epochs between two increases of the rate in the warm-up of `step`."""
    delay_epochs: float = number(0, 0, 100_000)
    """Epochs up to which `cosine` keeps peak_lr after the warm-up."""
    min_lr: float = number(0.0, 0, 100)
    """Learning rate that `cosine` falls to."""
    milestones: tuple[int, int] = number((200, 300), 1, 100_000)
    """Epochs, counted from 1, from which on `step` divides the rate by 10, and by 10 again."""
    freeze_steps: int = number(0, 0, 1_000_000_000)
    """First steps in which the trunk stays as it is, without gradient or decay, its BatchNorm by
    the running statistics, which don't move; the heads and the part block learn alone."""
    weight_decay: float = number(5e-4, 0, 100)
    """`adam`: L2 coefficient, of every parameter. `adamw`: each step subtracts learning rate x this
    x the kernel from every kernel; biases and BatchNorm don't decay."""
    centralize: Literal["none", "classifiers", "kernels"] = "none"
    """Gradient centralization (Yong et al., 2020) of the classifiers' kernels, or of all kernels:
    each output's gradient less its mean over the inputs."""
    ema_decay: float = number(0.0, 0, 0.999999)
    """EMA decay of the parameters used for evaluation, such as 0.999; 0 disables EMA."""
    shard_moments: bool = option(False, scope="execution")
    """Shard Adam's moments over the devices (ZeRO, stage 1): less memory, one more transfer."""
    betas: tuple[float, float] = number((0.9, 0.999), 0, 0.999999)
    """Adam's decay rates of the first and second moments."""
    eps: float = number(1e-8, 1e-16, 1)
    """Adam's epsilon."""


@dataclass(frozen=True)
class TrainConfig:
    """Length of the run, and what is written when."""

    epochs: int = number(400, 1, 100_000)
    """Number of epochs; an epoch shows every identity once, with K images."""
    seed: int = number(0, 0, SEEDS)
    """Seed of the initial weights, batches, augmentation and negatives."""
    log_every: int = number(10, 1, 1_000_000)
    """Steps between two training lines of metrics.jsonl; the host waits for the device there."""
    steps_per_call: int = number(0, 0, 10_000, scope="execution")
    """Steps that go to the device in one call, at most log_every; 0 chooses: 1 on a CPU, log_every
    on accelerators."""
    evaluate_every: int = number(50, 0, 100_000)
    """Epochs between two evaluations; the last epoch is always evaluated, 0 leaves only that."""
    checkpoint_every: int = number(10, 1, 100_000, scope="execution")
    """Epochs between two checkpoints; the last epoch is always saved."""
    profile_steps: int = number(5, 1, 1000, scope="execution")
    """Steps that --profile records, after the first ten."""


@dataclass(frozen=True)
class RankConfig:
    """Distance, protocol and re-ranking of a gallery, given embeddings."""

    distance: Literal["euclidean", "cosine"] = option("euclidean", scope="test")
    """Euclidean, which ranks as squared Euclidean does, or cosine."""
    cameras: bool = option(True, scope="test")
    """Remove gallery images of both identity and camera of the query; off for sets without
    cameras."""
    multi_query: Literal["none", "average", "max"] = option("none", scope="test")
    """Pool the query images of one identity and camera into one query."""
    single_shot: int = number(0, 0, 10_000, scope="test")
    """CUHK03's classic protocol: repeats, each with one random gallery image of each identity; 0
    disables it."""
    query_expansion_k: int = number(0, 0, 10_000, scope="test")
    """Query expansion with this many neighbors; needs cosine distance; 0 disables it."""
    dba_k: int = number(0, 0, 10_000, scope="test")
    """Database-side augmentation of the gallery with this many neighbors; needs cosine distance; 0
    disables it."""
    qe_alpha: float = number(3.0, 0, 100, scope="test")
    """Power of the similarity that weighs a neighbor in both; 0 for a plain average."""
    rerank: bool = option(False, scope="test")
    """Re-rank by k-reciprocal neighbors (Zhong et al., 2017)."""
    k1: int = number(20, 1, 10_000, scope="test")
    """Re-ranking: neighbors that may be reciprocal."""
    k2: int = number(6, 1, 10_000, scope="test")
    """Re-ranking: neighbors whose sets are averaged."""
    rerank_lambda: float = number(0.3, 0, 1, scope="test")
    """Re-ranking: weight of the original distance."""
    faiss_index: str = option("", scope="test")
    """FAISS factory string of an approximate index, such as IVF1024,Flat; empty: exact search."""
    nprobe: int = number(16, 1, 1_000_000, scope="test")
    """IVF index: clusters that are searched for each query."""
    index_top_n: int = number(1000, 1, 1_000_000, scope="test")
    """Index: images retrieved for each query; a match beyond them counts as never found."""
    seed: int = number(0, 0, SEEDS, scope="test")
    """Seed of single-shot sampling and bootstrap intervals."""


@dataclass(frozen=True)
class EvaluateConfig(RankConfig):
    """Embedding and ranking of query and gallery."""

    batch_size: int = number(128, 1, 16_384, scope="execution")
    """Images embedded at once."""
    checkpoint: Literal["latest", "best"] = option("latest", scope="execution")
    """Checkpoint to evaluate; best is by mAP, on the same query and gallery."""
    flip_average: bool = option(False, scope="test")
    """Average each image's embedding with its mirror image's, for twice the embedding time."""
    query_block: int = number(512, 1, 32_768, scope="execution")
    """Queries that are compared with a block of the gallery at once."""


@dataclass(frozen=True)
class Config:
    """One run.

    Example:
        >>> from dataclasses import replace
        >>> from pmm_jax.config import Config, DataConfig, MethodConfig, TrainConfig
        >>> config = Config(
        ...     data=DataConfig(name="folder", root="photos"),
        ...     method=MethodConfig(name="bdb"),
        ...     train=TrainConfig(epochs=60),
        ... )
        >>> config.optim.peak_lr
        0.001
        >>> other_seed = replace(config, train=replace(config.train, seed=1))
    """

    data: DataConfig = field(default_factory=DataConfig)
    """Images and batches."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Network."""
    method: MethodConfig = field(default_factory=MethodConfig)
    """Feature mix and losses."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Optimizer and schedule."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Length and logging."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    """Evaluation."""
