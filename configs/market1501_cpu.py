"""PMM on the whole of Market-1501 from scratch, for a machine with 2 CPU cores.

    python train.py --config configs/market1501_cpu.py --workdir runs/market1501_cpu

A first recipe: narrow ResNet-50 at 192x64, 100 epochs of 46 steps. It has not been run whole yet;
docs/results.md has what is known.
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
    data=DataConfig(name="market1501", image_size=(192, 64), crop_padding=8, erase_size=32),
    model=ModelConfig(width=0.25, weights="scratch", zero_last_scale=True),
    method=MethodConfig(top_k=1),
    optim=OptimConfig(schedule="cosine", peak_lr=1e-3, warmup_epochs=10),
    train=TrainConfig(epochs=100, evaluate_every=0, checkpoint_every=10),
)
