"""What each data set should hold, and where to get it (from the sets' own papers and pages)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Size of one split as published."""

    images: int
    """Images, identity -1 dropped."""
    identities: int
    """Identities, the distractors' identity 0 counted where a set has it."""
    cameras: int
    """Cameras, numbered as in the file names."""


PUBLISHED: dict[str, dict[str, Published]] = {
    "market1501": {
        "train": Published(12936, 751, 6),
        "query": Published(3368, 750, 6),
        "gallery": Published(15913, 751, 6),
    },
    "dukemtmc": {
        "train": Published(16522, 702, 8),
        "query": Published(2228, 702, 8),
        "gallery": Published(17661, 1110, 8),
    },
    "cuhk03_detected": {
        "train": Published(7365, 767, 2),
        "query": Published(1400, 700, 2),
        "gallery": Published(5332, 700, 2),
    },
    "cuhk03_labeled": {
        "train": Published(7368, 767, 2),
        "query": Published(1400, 700, 2),
        "gallery": Published(5328, 700, 2),
    },
    "msmt17": {
        "train": Published(32621, 1041, 15),
        "query": Published(11659, 3060, 15),
        "gallery": Published(82161, 3060, 15),
    },
}
"""Per data set and split; a `folder` of your own has no published size."""

_CUHK03 = (
    "get CUHK03-NP (folders detected and labeled) from "
    "https://github.com/zhunzhong07/person-re-ranking, or put cuhk-03.mat beside that "
    "repository's cuhk03_new_protocol_config_detected.mat and _labeled.mat"
)

WHERE: dict[str, str] = {
    "market1501": (
        "get Market-1501 from https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html and "
        "unpack it so that bounding_box_train, query and bounding_box_test lie in data.root; "
        "or draw people made up: python -m pmm_jax synthesize DIR"
    ),
    "dukemtmc": (
        "its authors withdrew DukeMTMC-reID; put a copy that you hold so that bounding_box_train, "
        "query and bounding_box_test lie in data.root"
    ),
    "cuhk03_detected": _CUHK03,
    "cuhk03_labeled": _CUHK03,
    "msmt17": (
        "ask for MSMT17 at https://www.pkuvmc.com/dataset.html and unpack it so that "
        "list_train.txt, train and test lie in data.root"
    ),
    "folder": (
        "point data.root at a folder of your own images (a folder an identity; or train, query and "
        "gallery with a folder an identity in each; docs/data.md has other forms), or at a CSV "
        "file with columns path, id, camera, split"
    ),
}
"""How to get each data set and where to put it."""
