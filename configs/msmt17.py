"""PMM on MSMT17; the paper has no result on it, so these are its settings for Market-1501.

    python train.py --config configs/msmt17.py --workdir runs/msmt17

65 steps an epoch, 400 epochs; 93,820 images are embedded in an evaluation.
"""

from pmm_jax.config import Config, DataConfig, MethodConfig

config = Config(
    data=DataConfig(name="msmt17", root="data/MSMT17_V1"),
    method=MethodConfig(top_k=3),
)
