"""The network in a state dict, out of the modules that codebases wrap around it.

DataParallel, torch.compile, EMA and every re-ID codebase put their own names in front:
`module.module.`, `_orig_mod.`, `backbone.` (fast-reid), `base.` (reid-strong-baseline), `model.`.
None of them is listed here: a network is found by the layers in it, whatever leads there.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.files import printable
from pmm_jax.model.torch_names import Path, release_name, torchvision_name

_TORCHVISION = r"layer[1-4]\.\d+\."
_RELEASE = r"(?:res_part|global_reduction|global_softmax|reduction[12]|softmax[12])\."
_SEQUENTIAL = r"(\d+)\.0\.conv1\.weight$"

_INNER = re.compile(r"(?<![^.])(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")
"""Wrappers of torch's that may also stand around the modules of a network."""

_COUNTERS = ("num_batches_tracked", "n_averaged")
"""BatchNorm's and AveragedModel's, which nothing here counts."""

_HEAD = re.compile(
    r"(fc|classifiers?|cls|heads?|logits|bottleneck|bnneck|neck|feat|embedding|projector|predictor"
    r"|global_pool|gem|pixel_mean|pixel_std|queue|prototypes)([_\d]\w*)?|softmax|encoder_k|embed_fc"
)
"""Modules that stand behind a trunk, normalize its input, or train it, in public codebases: the
last few are MoCo's and those of LUPerson and LUPerson-NL, which were trained by it."""

_NETWORKS = {
    r"conv2a\.0\.conv1": "OSNet",
    r"attnpool\.": "CLIP's ResNet, which has another stem",
    r"(transformer\.resblocks\.|class_embedding)": "CLIP's vision transformer",
    r"(relative_position_bias_table|attn\.w_msa\.)": "a Swin transformer",
    r"(cls_token|patch_embed\.|\.attn\.qkv\.)": "a vision transformer, as TransReID's",
    r"denseblock\d": "DenseNet",
    r"layer\d\.\d+\.IN\.": "a ResNet with instance normalization after its blocks (IBN-b)",
    r"(^|\.)NL_\d\.": "a ResNet with non-local blocks",
    r"layer1\.0\.se(_module)?\.": "a ResNet with squeeze and excitation",
    r"(^|\.)conv1\.\d\.": "a ResNet with a deep stem",
    r"(^|\.)features\.\d+\.(conv|0\.0)\.": "MobileNet",
    r"(^|\.)(conv_stem|_conv_stem)\.": "EfficientNet",
    r"([Mm]ixed_\d|branch\d?\.)": "an Inception network",
}
"""Names that identify networks that aren't supported, most specific first."""


@dataclass(frozen=True, eq=False)
class StateDict:
    """The one network of a file."""

    tensors: dict[str, np.ndarray]
    """Tensors by torchvision's names or the release's, without batch counters."""
    prefix: str
    """Prefix of the network's names in the file, such as `module.backbone.`."""
    is_release: bool
    """Whether the names are the release's; else they are torchvision's."""
    beside: tuple[str, ...]
    """Other tensors of the file, by their full names."""

    def name_of(self, path: Path) -> str:
        """PyTorch's name for an array of ours; `path` begins with the part."""
        return release_name(path) if self.is_release else torchvision_name(path[1:])

    def surplus(self, expected: Iterable[str]) -> list[tuple[str, str]]:
        """Unexpected tensors: full names, and the module of each behind the network's wrapper.

        A module is named as the file names it: that of `module.heads.bottleneck.0.weight` beside
        the network `module.backbone.` is `module.heads`.
        """
        wanted = set(expected)
        others = [self.prefix + name for name in self.tensors if name not in wanted]
        found = []
        for name in [*others, *self.beside]:
            words = name.split(".")
            found.append((name, ".".join(words[: _common(words[:-1], self.prefix.split(".")) + 1])))
        return found


def is_head(module: str) -> bool:
    """Whether a module of that name stands behind a trunk, as `classifier` and `heads` do."""
    return _HEAD.fullmatch(module.split(".")[-1]) is not None


def has_ibn_a(names: Iterable[str]) -> bool:
    """Whether a network of these names has IBN-a: halves of a block's first norm."""
    return any(re.search(r"\.bn1\.IN\.weight$", name) for name in names)


def unwrap(label: str, tensors: Mapping[str, np.ndarray], hint: str) -> StateDict:
    """The network in a state dict: a torchvision ResNet or one of ours, under any prefix.

    A trunk may also be an `nn.Sequential` of a ResNet's children, with numbers for names.

    Args:
        label: what to call the tensors in a message.
        tensors: by PyTorch's names.
        hint: end of the message where there is no such network.

    Raises:
        UserError: no network known here, or several.
    """
    named = {
        _INNER.sub("", name): value
        for name, value in tensors.items()
        if name.split(".")[-1] not in _COUNTERS
    }
    if len(named) < sum(name.split(".")[-1] not in _COUNTERS for name in tensors):
        raise UserError(f"{label} holds a network twice, with and without torch's wrappers; {hint}")
    is_release, prefixes = False, _prefixes(named, _TORCHVISION)
    if not prefixes:
        is_release, prefixes = True, _prefixes(named, _RELEASE)
    if not prefixes:
        is_release, prefixes = (
            False,
            {p for p in _prefixes(named, _SEQUENTIAL) if _layers(named, p)},
        )
    if not prefixes:
        raise UserError(
            f"{label} holds {guess(named) or 'names'} ({listed(named, 5)}), which is no network "
            f"known here; {hint}"
        )
    # MoCo's momentum encoder is a copy of the one that learns, and isn't used afterwards.
    prefixes -= {p.replace("encoder_q.", "encoder_k.") for p in prefixes if "encoder_q." in p}
    if len(prefixes) > 1:
        raise UserError(
            f"{label} holds {len(prefixes)} networks, under {listed(sorted(prefixes), 5)}; save "
            "the one that is wanted alone"
        )
    (prefix,) = prefixes
    inside = {n.removeprefix(prefix): v for n, v in named.items() if n.startswith(prefix)}
    modules = _layers(named, prefix)
    if modules:
        inside = {_renamed(name, modules): value for name, value in inside.items()}
    beside = tuple(name for name in named if not name.startswith(prefix))
    return StateDict(inside, prefix, is_release, beside)


def guess(names: Iterable[str]) -> str:
    """Guess another network from the names; empty if none is known."""
    text = list(names)
    for pattern, network in _NETWORKS.items():
        if any(re.search(pattern, name) for name in text):
            return network
    if any("layer1.0.conv2." in n for n in text) and not any("layer1.0.conv3." in n for n in text):
        return "a ResNet of basic blocks (ResNet-18 or 34)"
    return ""


def listed(names: Iterable[str], count: int) -> str:
    """The first of some names, and how many more there are."""
    all_names = list(names)
    more = len(all_names) - count
    shown = ", ".join(printable(name) or "no prefix" for name in all_names[:count])
    return (shown or "nothing") + (f" and {more} more" if more > 0 else "")


def _prefixes(names: Iterable[str], mark: str) -> set[str]:
    pattern = re.compile(rf"((?:[^.]*\.)*?){mark}")
    return {match[1] for name in names if (match := pattern.match(name))}


def _layers(names: Iterable[str], prefix: str) -> dict[str, str]:
    """Torchvision's names for the numbers of an nn.Sequential; empty if it is none."""
    found = {m[1] for n in names if (m := re.match(re.escape(prefix) + _SEQUENTIAL, n))}
    numbers = sorted(int(number) for number in found)
    # ReLU and pooling hold no tensors but take a number each, where they are modules at all.
    if len(numbers) != 4 or numbers[0] not in (2, 3, 4) or numbers[3] - numbers[0] != 3:
        return {}
    layers = {str(number): f"layer{layer}" for layer, number in enumerate(numbers, 1)}
    return {"0": "conv1", "1": "bn1"} | layers


def _renamed(name: str, modules: dict[str, str]) -> str:
    first, dot, rest = name.partition(".")
    return modules.get(first, first) + dot + rest


def _common(words: list[str], others: list[str]) -> int:
    """Leading words that both lists begin with."""
    pairs = zip(words, others, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(words), len(others)))
