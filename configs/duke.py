"""PMM on DukeMTMC-reID with the paper's settings (section 3.1).

    python train.py --config configs/duke.py --workdir runs/duke

As market1501.py, with K = 6; 43 steps an epoch. The paper reports Rank-1 88.0 and mAP 74.6
(Table 3). The set was withdrawn by its authors: you need a copy of your own.
"""

from pmm_jax.config import Config, DataConfig, MethodConfig

config = Config(
    data=DataConfig(name="dukemtmc", root="data/DukeMTMC-reID"),
    method=MethodConfig(top_k=6),
)
