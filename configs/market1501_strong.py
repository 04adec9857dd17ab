"""PMM on Market-1501 with the ingredients of stronger baselines, for a GPU.

    curl -LO https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth
    python train.py --config configs/market1501_strong.py --workdir runs/market1501_strong

PMM's three stages on a trunk with IBN-a, with GeM and BNNeck, trained as fast-reid trains its SBS
and MGN (Base-SBS.yml): 384x128, bfloat16, batches of 4 identities x 16 images, Adam at 3.5e-4, a
trunk that is frozen for 1,000 steps, a cosine over the second half. An epoch is 187 steps, about
one pass over the images; 120 of them. Reading the .pth file needs PyTorch (the extra `torch`).

Not run yet. Expected, from what others report: Rank-1 above PMM's 94.1 and up to the 95.8 of MGN
with IBN-a, mAP above 85.2 and up to 89.8 (fast-reid's model zoo). The files of LUPerson and
LUPerson-NL go in with --model.no-ibn-a --model.weights FILE (docs/guides/methods.md).
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
        identities_per_batch=4,
        images_per_identity=16,
        crop_padding=10,
        num_workers=16,
    ),
    model=ModelConfig(
        weights="resnet50_ibn_a-d9d0bb7b.pth",
        ibn_a=True,
        pooling="gem",
        neck="bnneck",
        compute_dtype="bfloat16",
    ),
    method=MethodConfig(top_k=3),
    optim=OptimConfig(
        schedule="cosine",
        peak_lr=3.5e-4,
        warmup_epochs=10,
        delay_epochs=60,
        min_lr=7e-7,
        freeze_steps=1000,
    ),
    train=TrainConfig(epochs=120, evaluate_every=40),
    evaluate=EvaluateConfig(distance="cosine", batch_size=512),
)
