"""The trunk's initial weights: torchvision's ResNet-50, from the hub or from a file."""

import re

from pmm_jax.errors import UserError
from pmm_jax.model.fitting import match_state_dict
from pmm_jax.model.pmm import Tree
from pmm_jax.model.unwrapping import has_ibn_a, is_head, unwrap
from pmm_jax.model.weights_file import HINT, read_weights

IBN_URL = "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth"
IBN_HINT = f"download {IBN_URL} and give --model.weights that file"


def load_resnet50(source: str, params: Tree, batch_stats: Tree) -> tuple[Tree, Tree]:
    """The trunk's parameters and statistics with every value taken from torchvision's weights.

    A file is never unpickled beyond its tensors, and there is no fallback: either every value is
    replaced, or an error says why not.

    Args:
        source: `imagenet` (downloaded once by huggingface_hub), a safetensors or PyTorch file of
            any name (the latter needs torch), or `scratch`, which returns the trees as they are. A
            file may hold a ResNet-50 under torchvision's names, behind any prefix, with IBN-a
            where the trunk has it, or a whole model as `convert` writes it, of which the trunk is
            taken; what is left out is logged.
        params: the trunk's parameters as `init` made them; nested dicts, kernels (H, W, I, O).
        batch_stats: the trunk's BatchNorm statistics, likewise.

    Returns:
        New trees of the same shapes and types.

    Raises:
        UserError: the weights can't be had or read, or don't fit this network name by name.
    """
    if source == "scratch":
        return params, batch_stats
    label, tensors = read_weights(source)
    hint = _network_hint(params)
    state = unwrap(label, tensors, hint)
    wants_ibn = "IN" in params["layer1_0"]["bn1"]
    if has_ibn_a(state.tensors) != wants_ibn:
        raise UserError(
            f"{label} has no IBN-a, which model.ibn_a asks for; {IBN_HINT}"
            if wants_ibn
            else f"{label} has IBN-a; set model.ibn_a, or give other weights"
        )
    trees = {"trunk": params}, {"trunk": batch_stats}
    # What is behind the trunk of a whole model, of ours, the release or BDB, knows other people.
    is_unused = _is_behind_trunk if state.is_release else is_head
    filled, filled_stats = match_state_dict(label, state, "the trunk", *trees, hint, is_unused)
    return filled["trunk"], filled_stats["trunk"]


def _is_behind_trunk(module: str) -> bool:
    return module.split(".")[-1] not in ("backbone", "res_part")


def _network_hint(params: Tree) -> str:
    width = params["conv1"]["kernel"].shape[-1] / 64
    blocks = [re.match(r"layer(\d+)_", name) for name in params]
    layers = [match.group(1) for match in blocks if match]
    stage_sizes = " ".join(str(layers.count(layer)) for layer in sorted(set(layers)))
    if width != 1 or stage_sizes != "3 4 6 3":
        return (
            f"ImageNet weights need model.width 1 and model.stage_sizes 3 4 6 3, and this network "
            f"has width {width:g} and stage sizes {stage_sizes}; use those, a model of this size, "
            "or --model.weights scratch"
        )
    return f"it must be torchvision's ResNet-50: {HINT}"
