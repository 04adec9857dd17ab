"""Every number of a run, as frozen dataclasses. The command line is built from them (cli.py).

The defaults are the paper's settings for Market-1501 (section 3.1) on the released network; where
paper and release differ, the field says which one it follows.
"""

from dataclasses import dataclass, field
from typing import Literal

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
    cameras: Literal["read", "ignore"] = "read"
    """`ignore`: take all cameras as unknown, so that a query's matches count whichever camera they
    are from."""
    allow_duplicates: bool = False
    """Accept images of train that are, byte for byte, in query or gallery, too."""
    flip_probability: float = 0.5
    """Chance that an image is mirrored."""
    crop_padding: int = 0
    """Zero pixels padded on each side before a random crop back to size; 0 turns it off."""
    color_jitter: float = 0.0
    """Each image's brightness, contrast and saturation are multiplied by factors drawn from 1 minus
    to 1 plus this; 0 turns it off (the release has none)."""
    erase_probability: float = 0.5
    """Chance that one square of an image is set to ImageNet's mean colour (0 once normalised)."""
    erase_size: int = 64
    """Side in pixels of the erased square."""
    memory_gib: float = 8.0
    """Keep decoded training images, as uint8, where all of them take no more; else decode them
    each time."""
    device_gib: float = 4.0
    """Keep the training split on the accelerator, on every one, where it takes no more."""
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
    pooling: Literal["paper", "gem"] = "paper"
    """`paper`: stage I's head pools by the average, the others by the maximum; `gem`: every head by
    the generalised mean, with a learned power (Radenović et al., 2019)."""
    neck: Literal["paper", "bnneck"] = "paper"
    """`paper`: BatchNorm and ReLU give the embedding, for both losses and the test; `bnneck`: the
    triplet takes it before BatchNorm, identity loss and test after it, without ReLU (Luo et al.,
    2019)."""
    weights: str = "imagenet"
    """Initial trunk: `imagenet` (torchvision's ResNet-50, by huggingface_hub), a .safetensors or
    .pth file (such a trunk, or a trained model that `convert` wrote), or `scratch` (random)."""
    zero_last_scale: bool = False
    """Start each residual block's last BatchNorm scale at 0, the part block's too, so that the
    block starts as the identity: helps training from scratch."""
    remat: bool = False
    """Keep only each residual block's input for the backward pass and compute its inside again:
    less memory, about a third more time."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; parameters, statistics and losses stay float32."""


@dataclass(frozen=True)
class MethodConfig:
    """Progressive multi-stage feature mix (paper, section 2), or what it is compared with."""

    name: Literal[
        "pmm",
        "cutout",
        "cutmix",
        "a_cutmix",
        "bdb",
        "random_mix",
        "easy_mix",
        "none",
        "baseline",
    ] = "pmm"
    """`pmm`, or a method that it is compared with (docs/methods.md); `none` has three heads and no
    mixing, `baseline` stage I alone."""
    stages: Literal[1, 2, 3] = 3
    """Stages of all methods but `bdb` and `baseline`."""
    top_k: int = 3
    """K: highest-ranked blocks that are replaced (paper: 3 Market, 6 Duke, 8 CUHK03)."""
    block: tuple[int, int] = (3, 2)
    """Height and width of a block in cells of the feature map."""
    negatives: Literal["shard", "batch"] = "shard"
    """Where an image's negative comes from: the images on its own device, so that no feature map
    crosses devices (the whole batch where a device has one identity), or always the whole batch.
    The same on one device."""
    mining: Literal["random", "hardest"] = "random"
    """The negative: `random` is the paper's; `hardest` the image of another identity that is the
    nearest by the embedding of the stage before."""
    cumulative: bool = False
    """Stage III starts from stage II's mixed map (the paper's words) instead of the clean map
    (the release)."""
    label_smoothing: float = 0.1
    """Epsilon of the label-smoothed cross entropy."""
    drop_height: float = 0.33
    """`bdb`: share of the map's rows that are dropped."""
    guide: str = "own"
    """`a_cutmix`: the trunk whose activations say where an image is salient. `own` is the one in
    training, `imagenet` torchvision's ResNet-50; or a file that holds a network."""


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
    decoupled_decay: float = 0.0
    """AdamW's decay in place of it: a step takes learning rate x this of every kernel, nothing of
    biases and BatchNorm."""
    average_decay: float = 0.0
    """Test the weights' moving average, of which a step keeps this share (0.999, say), in place of
    the last weights; 0 turns it off."""
    shard_moments: bool = False
    """Split Adam's moments over the devices (ZeRO, stage 1): less memory, one more transfer."""
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
    steps_per_call: int = 0
    """Steps that go to the device in one call, at most log_every; 0 chooses: 1 on a CPU, log_every
    on accelerators."""
    evaluate_every: int = 50
    """Epochs between two evaluations; the last epoch is always evaluated, 0 leaves only that."""
    checkpoint_every: int = 10
    """Epochs between two checkpoints; the last epoch is always saved."""
    profile_steps: int = 5
    """Steps that --profile records, after the first ten."""


@dataclass(frozen=True)
class RankConfig:
    """How a gallery is ranked from embeddings."""

    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Euclidean, which ranks as squared Euclidean does, or cosine."""
    cameras: bool = True
    """Remove gallery images of both identity and camera of the query; off for sets without
    cameras."""
    multi_query: Literal["none", "average", "max"] = "none"
    """Pool the query images of one identity and camera into one query."""
    single_shot: int = 0
    """CUHK03's classic protocol: so many random draws of one gallery image of each identity."""
    expand_queries: int = 0
    """Query expansion by so many neighbours; needs cosine distance."""
    augment_gallery: int = 0
    """Database-side augmentation by so many neighbours; needs cosine distance."""
    alpha: float = 3.0
    """Power of the similarity that weighs a neighbour in both; 0 for a plain average."""
    rerank: bool = False
    """Re-rank by k-reciprocal neighbours (Zhong et al., 2017)."""
    k1: int = 20
    """Re-ranking: neighbours that may be reciprocal."""
    k2: int = 6
    """Re-ranking: neighbours whose sets are averaged."""
    weight: float = 0.3
    """Re-ranking: share of the original distance."""
    index: str = ""
    """Rank by an approximate FAISS index of this kind, such as IVF1024,Flat; empty for exact."""
    probes: int = 16
    """Index: clusters looked into for each query."""
    depth: int = 1000
    """Index: images found for each query; a match beyond counts as never found."""
    seed: int = 0
    """Of single-shot draws and bootstrap intervals."""


@dataclass(frozen=True)
class EvaluateConfig(RankConfig):
    """How query and gallery are embedded and ranked."""

    batch_size: int = 128
    """Images embedded at once."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Which checkpoint eval.py reads; best is by mAP, on the same query and gallery."""
    flip_average: bool = False
    """Average each image's embedding with its mirror image's, for twice the embedding time."""
    chunk: int = 512
    """Queries that are compared with a block of the gallery at once."""


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
