"""The paper's method and those that it is compared with, by what they do (Tables 1 and 3)."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["pmm", "baseline", "bdb", "trunk"]
"""Of a network. `pmm` has three heads; `baseline` is the trunk with stage I; `bdb` has BDB's second
branch in place of stages II and III; `trunk` has no head, and the spatial mean of its map is the
embedding."""


@dataclass(frozen=True)
class Method:
    """What a method replaces in what its stages are trained on, and with what."""

    title: str
    """As the paper writes it."""
    network: Kind
    augments: Literal["feature", "image", "nothing"]
    """Where: in the inputs of stages II and III (BDB: of its second branch), or in the images."""
    chosen: Literal["attentive", "random", "nothing"] = "nothing"
    """Which part is replaced: the top-K blocks of a heat map, or one drawn at random."""
    filling: Literal["negative", "negative's weakest", "zeros", "another image", "nothing"] = (
        "nothing"
    )
    """What comes in its place."""
    blocks: bool = True
    """Whether the part is made of method.top_k blocks of method.block cells."""

    @property
    def attentive(self) -> bool:
        """Whether a heat map decides."""
        return self.chosen == "attentive"

    @property
    def mixes(self) -> bool:
        """Whether another image's values come in place of the replaced ones."""
        return self.filling in ("negative", "negative's weakest", "another image")

    @property
    def mixes_label(self) -> bool:
        """Whether the identity loss wants both identities, by their areas."""
        return self.filling == "another image"


METHODS = {
    "pmm": Method("A-Hard-Mix (PMM)", "pmm", "feature", "attentive", "negative"),
    "cutout": Method("CutOut", "pmm", "feature", "attentive", "zeros"),
    "cutmix": Method("CutMix", "pmm", "image", "random", "another image", blocks=False),
    "a_cutmix": Method("A-CutMix", "pmm", "image", "attentive", "another image"),
    "bdb": Method("BDB", "bdb", "feature", "random", "zeros", blocks=False),
    "random_mix": Method("Random blocks", "pmm", "feature", "random", "negative"),
    "easy_mix": Method("Easy mix", "pmm", "feature", "attentive", "negative's weakest"),
    "none": Method("No mixing", "pmm", "nothing", blocks=False),
    "baseline": Method("One head", "baseline", "nothing", blocks=False),
}
"""By method.name."""


def comparison_table() -> str:
    """The paper's Table 1 as Markdown, with the methods that it doesn't have."""
    lines = [
        "| `method.name` | method | augments | attentive | mixes | mixes label |",
        "|---|---|---|---|---|---|",
    ]
    for name, method in METHODS.items():
        marks = (
            "yes" if mark else "no" for mark in (method.attentive, method.mixes, method.mixes_label)
        )
        lines.append(f"| `{name}` | {method.title} | {method.augments} | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"
