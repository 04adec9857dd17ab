"""PMM on the whole of Market-1501 from scratch, for a machine with 2 CPU cores.

    python train.py --config configs/market1501_cpu.py --workdir runs/market1501_cpu

A ResNet of bottlenecks a quarter as wide as ResNet-50 and half as deep, at the images' own 128x64,
150 epochs of 93 steps: Rank-1 80.9, mAP 62.7, averaged with mirror images. An earlier run took 37
minutes on an AMD EPYC (docs/experiments/2026-11-market1501-cpu.md has that, and how it was found).
"""

from pmm_jax.config import (
    Config,
    DataConfig,
    EvaluateConfig,
    MethodConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)

config = Config(
    data=DataConfig(
        name="market1501",
        image_size=(128, 64),
        # Half the paper's batch: for the same images twice the updates, which a short run needs.
        identities_per_batch=8,
        crop_padding=8,
        erase_size=24,
    ),
    model=ModelConfig(
        # For the same time: half the depth and more epochs do better than ResNet-50's 3, 4, 6, 3.
        stage_sizes=(1, 2, 4, 2),
        width=0.25,
        weights="scratch",
        zero_init_last=True,
    ),
    method=MethodConfig(top_k=1, block=(2, 2)),
    optim=OptimConfig(
        schedule="cosine",
        peak_lr=4e-3,
        warmup_epochs=15,
        # Adam's own L2 hardly holds weights back, whose gradients BatchNorm makes scale-free.
        optimizer="adamw",
        weight_decay=0.1,
        # What all features share would teach a classifier that what it just saw is likely.
        centralize="classifiers",
    ),
    train=TrainConfig(epochs=150, evaluate_every=0, checkpoint_every=10),
    evaluate=EvaluateConfig(flip_average=True),
)
