"""PMM on images of your own, from ImageNet weights.

    python train.py --config configs/folder.py --data.root FOLDER_OR_CSV --workdir runs/mine

data.root is a folder with train, query and gallery inside, a folder per identity in each; or just a
folder per identity; or a CSV file with columns path, id, camera, split (docs/guides/data.md).
Without a GPU, take configs/folder_cpu.py.
"""

from pmm_jax.config import Config, DataConfig, OptimConfig, TrainConfig

config = Config(
    data=DataConfig(name="folder", root="data/folder", identities_per_batch=8),
    optim=OptimConfig(schedule="cosine", peak_lr=3e-4, warmup_epochs=5),
    train=TrainConfig(epochs=60, evaluate_every=20),
)
