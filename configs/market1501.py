"""PMM on Market-1501 with the paper's settings (section 3.1).

    python train.py --config configs/market1501.py --workdir runs/market1501

ResNet-50 from ImageNet, 384x128, K = 3, batch 64, 400 epochs of 46 steps; meant for a GPU or TPU.
The paper reports Rank-1 94.1 and mAP 85.2 (Table 3).
"""

from pmm_jax.config import Config, DataConfig, MethodConfig

config = Config(
    data=DataConfig(name="market1501", root="data/Market-1501-v15.09.15"),
    method=MethodConfig(top_k=3),
)
