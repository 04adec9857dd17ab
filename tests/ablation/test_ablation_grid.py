"""What --methods may say."""

from dataclasses import replace

import pytest

from pmm_jax.ablation.grid import read_grid
from pmm_jax.config import Config
from pmm_jax.errors import UserError


def test_a_name_and_fields_behind_it() -> None:
    words = ["pmm", "cutout", "pmm --method.top-k 2 --method.block 6 4", "none --method.stages=2"]
    plain, cutout, other, two = read_grid(Config(), words)
    assert plain.config == Config()
    assert cutout.config == replace(Config(), method=replace(Config().method, name="cutout"))
    assert (other.config.method.top_k, other.config.method.block) == (2, (6, 4))
    assert (two.config.method.name, two.config.method.stages) == ("none", 2)
    assert other.title == "A-Hard-Mix (PMM) --method.top-k 2 --method.block 6 4"
    assert other.folder(3) == "pmm-method.top-k-2-method.block-6-4-seed3"
    assert cutout.seeded(7).train.seed == 7
    assert len({variant.folder(0) for variant in (plain, cutout, other, two)}) == 4


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["pmx"], "no method pmx; there are pmm, cutout"),
        ([""], "no method ; there are"),
        ([], "names none"),
        (["pmm", "pmm"], "'pmm' twice"),
        (["pmm --method.top-k 2", "pmm  --method.top-k=2"], "twice"),
        (["pmm --method.topp 2"], "no field --method.topp; did you mean --method.top-k"),
        (["pmm --method.top-k 99"], "must lie between 1 and 32"),
        (["pmm --method.name none"], "sets method.name"),
        (["pmm --train.seed 4"], "sets train.seed"),
        (["pmm --help"], "behind a name come fields"),
        (["pmm '"], "No closing quotation"),
    ],
)
def test_what_it_may_not_say(words: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read_grid(Config(), words)
