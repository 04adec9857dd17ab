"""An ONNX file's embeddings beside the model's, on images fed as its consumer feeds them."""

from typing import Any

import jax
import numpy as np

from pmm_jax.errors import missing_extra
from pmm_jax.inference import make_embed
from pmm_jax.model.pmm import Network, Tree

TOLERANCES = {"float32": 1e-4, "float16": 1e-2}
"""Largest relative difference of an image's embedding; that of int8 is stated, and not bounded."""
BATCH = 32


def run_onnx(data: bytes, feed: np.ndarray) -> np.ndarray:
    """The output of a file for an input, by onnxruntime on the CPU.

    Args:
        data: the file's bytes.
        feed: the input, (N, ...).

    Returns:
        (N, D) float32.

    Raises:
        UserError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise missing_extra("checking an ONNX file", "export") from None
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batches = (feed[start : start + BATCH] for start in range(0, len(feed), BATCH))
    return np.concatenate([session.run(None, {name: batch})[0] for batch in batches])


def reference(
    network: Network,
    params: Tree,
    batch_stats: Tree,
    images: np.ndarray,
    image_size: tuple[int, int],
) -> np.ndarray:
    """The model's own embeddings, in float32 whatever its compute dtype and the device.

    Args:
        network: the modules.
        params: of the network, by module.
        batch_stats: running statistics, likewise.
        images: (N, h, w, 3) uint8, resized as a graph does if they have another size.
        image_size: height and width that the network sees.
    """
    run = make_embed(network._replace(compute_dtype=np.dtype(np.float32)))
    found = []
    with jax.default_matmul_precision("highest"):
        for start in range(0, len(images), BATCH):
            some: Any = images[start : start + BATCH]
            if images.shape[1:3] != image_size:
                shape = (len(some), *image_size, 3)
                some = jax.image.resize(some.astype(np.float32), shape, "linear", antialias=False)
            found.append(np.asarray(run(params, batch_stats, some)))
    return np.concatenate(found)


def relative_differences(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """(N,): norm of the difference by the norm of the embedding, of each image."""
    norms = np.linalg.norm(expected, axis=1)
    return np.linalg.norm(found - expected, axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
