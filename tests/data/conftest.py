"""What the data tests share."""

from pathlib import Path

import pytest

from pmm_jax.config import DataConfig
from tests.data.market_set import MARKET, draw


@pytest.fixture
def market(tmp_path: Path) -> DataConfig:
    root = tmp_path / "market"
    for folder, names in MARKET.items():
        for seed, name in enumerate(names):
            draw(root / folder / name, seed)
    return DataConfig(root=str(root), cache_dir=str(tmp_path / "prepared"))
