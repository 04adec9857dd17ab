"""PMM on the whole of Market-1501 from scratch, for a machine with 2 CPU cores.

    python train.py --config configs/market1501_cpu.py --workdir runs/market1501_cpu

A ResNet of bottlenecks a quarter as wide as ResNet-50 and half as deep, at the images' own 128x64,
280 epochs of 46 steps, about 40 minutes (docs/results.md has the result, and how).
"""

from pmm_jax.config import (
    Config,
    DataConfig,
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
        # Two images of an identity, not four: more people a batch, so more news in each.
        identities_per_batch=16,
        images_per_identity=2,
        crop_padding=8,
        erase_size=24,
    ),
    model=ModelConfig(
        # For the same time: half the depth and more epochs do better than ResNet-50's 3, 4, 6, 3.
        depth=(1, 2, 4, 2),
        width=0.25,
        weights="scratch",
        zero_last_scale=True,
    ),
    method=MethodConfig(top_k=1, block=(2, 2)),
    optim=OptimConfig(schedule="cosine", peak_lr=4e-3, warmup_epochs=28, weight_decay=1e-4),
    train=TrainConfig(epochs=280, evaluate_every=0, checkpoint_every=20),
)
