"""Write a model as StableHLO: one program for CPU, CUDA and TPU that jax runs without this package.

`jax.export` writes it, and its serialization needs flatbuffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import export

from pmm_jax.data.augment import normalize
from pmm_jax.errors import UserError, missing_extra
from pmm_jax.export.crops import Crops
from pmm_jax.export.file_card import (
    about_model,
    card_path,
    compare,
    encode_card,
    normalization,
    write_all,
)
from pmm_jax.export.onnx_check import BATCH
from pmm_jax.export.onnx_graph import LARGEST, chosen_heads, embedding_size
from pmm_jax.model.heads import StageHead
from pmm_jax.model.pmm import Network, Tree, embed
from pmm_jax.runtime import current_platform, on_cpu, override_platform

if TYPE_CHECKING:
    from pmm_jax.api import Model

PLATFORMS = ("cpu", "cuda", "tpu")
_LOCATIONS = "jax_traceback_in_locations_limit"


def export_stablehlo(model: Model, target: Path, crops: Crops, stages: int = 0) -> dict[str, Any]:
    """Write FILE.stablehlo and its card FILE.stablehlo.json.

    Args:
        model: what embeds.
        target: the file.
        crops: what the file is checked on, on this machine's platform.
        stages: the first stages alone; 0 for the whole embedding.

    Returns:
        The card.

    Raises:
        UserError: the file embeds differently, and isn't left behind; flatbuffers is missing; the
            model is too large or has not so many stages; or a file can't be written.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.export.crops import find_crops
        >>> from pmm_jax.export.stablehlo_file import export_stablehlo
        >>> crops = find_crops(model.info, count=4)
        >>> card = export_stablehlo(model, Path("demo.stablehlo"), crops)
        >>> card["platforms"], card["output"]["shape"]
        (['cpu', 'cuda', 'tpu'], ['batch', 1536])
    """
    heads = chosen_heads(model.network, stages)
    length = embedding_size(model.network, heads)
    network = with_heads(model.network, heads)
    exported = make_stablehlo(network, model.params, model.batch_stats, model.image_size)
    data = _serialized(exported)
    images, precision = crops.resized(model.image_size), network.compute_dtype.name
    found, expected = run_stablehlo(data, images), model.embed(images, BATCH)[:, :length]
    checks: dict[str, Any] = {"images": len(images), "of": crops.source}
    checks |= compare(target, "jax", found, expected, _tolerance(precision))
    height, width = model.image_size
    card = {
        "file": target.name,
        "format": "stablehlo",
        "for": "jax.export.deserialize",
        "jax": jax.__version__,
        "calling_convention_version": exported.calling_convention_version,
        "platforms": list(exported.platforms),
        "precision": precision,
        "stages": stages or "all",
        "input": {
            "shape": ["batch", height, width, 3],
            "layout": "NHWC",
            "type": "uint8",
            "color": "RGB",
            "range": "0..255",
            "resize": f"to {height}x{width} (height x width), bilinear, by the caller",
        },
        "output": {"shape": ["batch", length], "type": "float32", "unit_length": False},
        "normalization": normalization(),
        "model": about_model(model, heads),
        "checks": checks | {"platform": current_platform()},
    }
    write_all({card_path(target): encode_card(card).encode(), target: data})
    return card


def with_heads(network: Network, heads: list[str]) -> Network:
    """The network with these heads alone, and with the part block where one of them sees its map.

    Args:
        network: the modules.
        heads: the names of some of its heads; of a bare trunk none.
    """
    modules = {
        name: module
        for name, module in network.modules.items()
        if name in heads or not isinstance(module, StageHead)
    }
    if not set(heads) & set(network.part_heads):
        modules.pop("part_block", None)
    return network._replace(modules=modules)


def make_stablehlo(
    network: Network, params: Tree, batch_stats: Tree, image_size: tuple[int, int]
) -> export.Exported:
    """The embedding as a program for PLATFORMS: (N, H, W, 3) uint8, N free, to (N, D) float32.

    It holds the weights that it uses, and consists of the stock operations whatever machine
    exports: a CPU's own forms would be slow elsewhere.

    Args:
        network: the modules.
        params: of the network, by module.
        batch_stats: running statistics, likewise.
        image_size: height and width that the network sees.
    """
    # On the host: an array that lies on some devices would tie the program to them.
    params, batch_stats = jax.tree.map(np.asarray, (params, batch_stats))

    def embedding(images: jax.Array) -> jax.Array:
        return embed(network, params, batch_stats, normalize(images))

    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *image_size, 3), np.uint8)
    with override_platform("gpu"), _without_source_files():
        return export.export(jax.jit(embedding), platforms=PLATFORMS)(images)


def run_stablehlo(data: bytes, images: np.ndarray) -> np.ndarray:
    """The embeddings that a file gives on this machine.

    Args:
        data: the file's bytes.
        images: (N, H, W, 3) uint8.

    Returns:
        (N, D) float32.
    """
    run = jax.jit(export.deserialize(bytearray(data)).call)
    batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    return np.concatenate([np.asarray(run(batch)) for batch in batches])


def _serialized(exported: export.Exported) -> bytes:
    if len(exported.mlir_module_serialized) > LARGEST:
        raise UserError("the network doesn't fit into the 2 GiB of a StableHLO file")
    try:
        return bytes(exported.serialize())
    except ImportError:
        raise missing_extra("StableHLO export", "export") from None


def _tolerance(precision: str) -> float:
    """Largest relative difference of an image's embedding from the model's own."""
    if precision == "bfloat16":
        return 5e-2  # the model itself is up to 1.5e-2 away from its float32
    # Accelerators round the factors of float32 products, and may do so in one program alone.
    return 1e-4 if on_cpu() else 1e-2


@contextmanager
def _without_source_files() -> Iterator[None]:
    """Keep the names of this machine's source files, and their lines, out of what is lowered."""
    before = getattr(jax.config, _LOCATIONS)
    jax.config.update(_LOCATIONS, 0)
    try:
        yield
    finally:
        jax.config.update(_LOCATIONS, before)
