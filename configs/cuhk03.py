"""PMM on CUHK03-Detected, new protocol, with the paper's settings (section 3.1).

    python train.py --config configs/cuhk03.py --workdir runs/cuhk03

As market1501.py, with K = 8; 47 steps an epoch. The paper reports Rank-1 76.3 and mAP 73.0
(Table 3). For the hand-labeled boxes add --data.name cuhk03_labeled.
"""

from pmm_jax.config import Config, DataConfig, MethodConfig

config = Config(
    data=DataConfig(name="cuhk03_detected", root="data/CUHK03-NP"),
    method=MethodConfig(top_k=8),
)
