"""DukeMTMC-reID (Ristani et al., ECCVW 2016; Zheng et al., ICCV 2017)."""

import re
from typing import ClassVar

from pmm_jax.data.datasets.dataset import SplitSize
from pmm_jax.data.datasets.market1501 import MarketStyle


class DukeMTMC(MarketStyle):
    """DukeMTMC-reID: 36,411 boxes of 1,404 people under 8 cameras."""

    name = "dukemtmc"
    where = (
        "its authors withdrew DukeMTMC-reID; put a copy that you hold so that bounding_box_train, "
        "query and bounding_box_test lie in data.root"
    )
    published: ClassVar = {
        "train": SplitSize(16522, 702, 8),
        "query": SplitSize(2228, 702, 8),
        "gallery": SplitSize(17661, 1110, 8),
    }
    # Identity, camera, frame.
    pattern = re.compile(r"(?P<identity>-1|\d+)_c(?P<camera>\d+)_f?\d+\.")
    example = "0005_c2_f0046985.jpg"
