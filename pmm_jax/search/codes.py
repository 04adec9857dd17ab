"""A large gallery in eight bits a value, which rules out nearly all of its images.

An image x is kept as s c, with c of small integers; what that leaves of it, |x - s c|, is
measured. A query is two such vectors, which leave next to nothing of it. So the product of the
integers, which is exact, is that of the embeddings up to a bound (Cauchy and Schwarz). It reads a
quarter of the bytes that a product of the embeddings reads, which is what a query waits for.
"""

from __future__ import annotations

import numpy as np

LARGEST = 127
"""Largest integer of an image."""
QUERY = 63
"""Largest integer of a query. x86 processors without VNNI add two products in 16 bits, and cut off
what is more (it is why onnxruntime has session.x64quantprecision). Two of these fit."""
ZERO = QUERY + 1
"""Added to the query's integers, which onnxruntime takes as unsigned ones."""
SHARD = 1 << 18
"""Images of one graph: it can't hold more than 2 GiB."""
BLOCK = 1 << 12
"""Images encoded at once."""
ROUNDING = 2.0**-13
"""Of float32, relative, in sums of a thousand terms or two, and more."""
LOST = np.float32(2.0**-100)
"""Products below it may be lost."""


class Codes:
    """A gallery in eight bits a value."""

    def __init__(self, features: np.ndarray) -> None:
        """Encode embeddings (N, D) float32."""
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        # Threads that wait for the next query would take the processor from whoever embeds it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        count = len(features)
        self._steps, self._left, self._lengths = np.empty((3, count), np.float32)
        self._sessions = []
        for start in range(0, count, SHARD):
            codes = self._encoded(features, start, min(start + SHARD, count))
            self._sessions.append(InferenceSession(_graph(codes), options))

    def products(self, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Products with the gallery, (Q, N) float64, and how far off each may be, float32.

        Args:
            query: (Q, D) float32.
        """
        exact = query.astype(np.float64)
        step = np.abs(exact).max(1, keepdims=True) / QUERY
        step[step == 0] = 1
        high = np.rint(exact / step)
        fine = step / (2 * QUERY)
        low = np.rint((exact - high * step) / fine)
        left = np.linalg.norm(exact - high * step - low * fine, axis=1)
        codes = (np.concatenate([high, low]) + ZERO).astype(np.uint8)
        found = [session.run(None, {"query": codes})[0] for session in self._sessions]
        coarse, rest = np.split(np.concatenate(found, axis=1), 2)
        products = coarse * step
        products += rest * fine
        products *= self._steps
        length = np.linalg.norm(exact, axis=1)
        error = _column(length) * self._left
        error += _column(left + ROUNDING * length) * self._lengths + LOST
        return products, error

    def _encoded(self, features: np.ndarray, start: int, end: int) -> np.ndarray:
        codes = np.empty((features.shape[1], end - start), np.int8)
        for first in range(start, end, BLOCK):
            some = slice(first, min(first + BLOCK, end))
            block = features[some]
            step = np.abs(block).max(1) / np.float32(LARGEST)
            step[step == 0] = 1
            integers = np.rint(block / step[:, None])
            codes[:, some.start - start : some.stop - start] = integers.astype(np.int8).T
            integers *= step[:, None]
            self._steps[some], self._lengths[some] = step, _lengths(block)
            self._left[some] = _lengths(block - integers) + ROUNDING * self._lengths[some]
        return codes


def _column(values: np.ndarray) -> np.ndarray:
    return (values * (1 + ROUNDING)).astype(np.float32)[:, None]


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """(N,) float32, not below the true ones by more than ROUNDING."""
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors)) * np.float32(1 + ROUNDING)


def _graph(codes: np.ndarray) -> bytes:
    """An ONNX model: a query's integers times those of images, (D, N) int8."""
    from onnx import TensorProto, helper, numpy_helper

    inputs = [helper.make_tensor_value_info("query", TensorProto.UINT8, [None, len(codes)])]
    outputs = [helper.make_tensor_value_info("products", TensorProto.INT32, None)]
    constants = [
        numpy_helper.from_array(codes, "codes"),
        numpy_helper.from_array(np.array(ZERO, np.uint8), "zero"),
    ]
    node = helper.make_node("MatMulInteger", ["query", "codes", "zero"], ["products"])
    graph = helper.make_graph([node], "codes", inputs, outputs, constants)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    return bytes(model.SerializeToString())
