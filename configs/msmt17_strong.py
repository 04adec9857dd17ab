"""PMM on MSMT17 with the ingredients of market1501_strong.py, for a GPU.

    curl -LO https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth
    python train.py --config configs/msmt17_strong.py --workdir runs/msmt17_strong

The same settings, on the set where IBN-a pays most. An epoch is 260 steps, about half a pass over
the images; 120 of them are about as many steps as fast-reid's 60 epochs of whole passes.

Not run yet. Expected, from what others report: between 81.8 / 58.4 and 85.1 / 65.4, which
fast-reid's SBS (ResNet-50) and MGN (with IBN-a) have there.
"""

from dataclasses import replace

from pmm_jax.cli.config_file import load_config
from pmm_jax.config import Config

_market1501: Config = load_config("market1501_strong")

config = replace(_market1501, data=replace(_market1501.data, name="msmt17", root="data/MSMT17_V1"))
