"""PMM on synthetic people, in a few minutes on 2 CPU cores; `make demo` and `pmm demo` run it.

    pmm synthesize data/synthetic
    pmm train --config demo --workdir runs/demo

Takes 2 to 4 minutes and reaches 80.8 % Rank-1, where color alone gives 16.2 %.
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
        root="data/synthetic",
        image_size=(128, 64),
        crop_padding=4,
        erase_size=24,
    ),
    model=ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.25, weights="scratch", zero_init_last=True),
    method=MethodConfig(top_k=1, block=(2, 2)),
    optim=OptimConfig(schedule="cosine", peak_lr=2e-3, warmup_epochs=4),
    train=TrainConfig(epochs=30, evaluate_every=10, checkpoint_every=10),
)
