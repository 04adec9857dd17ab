"""PMM on images of your own, from random weights, for a machine without a GPU.

    pmm train --config folder_cpu --data.root FOLDER_OR_CSV --workdir runs/mine

data.root is what configs/folder.py takes. The network and the image size are those of
configs/market1501_cpu.py; the rate is half of its, which small sets bear better
(docs/experiments/). Where images are few, start from a model that was trained on many instead:
--init-from MODEL.
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
        name="folder",
        root="data/folder",
        image_size=(128, 64),
        identities_per_batch=8,
        crop_padding=8,
        erase_size=24,
    ),
    model=ModelConfig(stage_sizes=(1, 2, 4, 2), width=0.25, weights="scratch", zero_init_last=True),
    method=MethodConfig(top_k=1, block=(2, 2)),
    optim=OptimConfig(
        schedule="cosine", peak_lr=2e-3, warmup_epochs=6, optimizer="adamw", weight_decay=0.1
    ),
    train=TrainConfig(epochs=60, evaluate_every=20),
)
