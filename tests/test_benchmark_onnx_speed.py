"""Our graph and torch.onnx's side by side, at toy size."""

import os

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the twin is PyTorch (requirements-torch.txt)")

from benchmarks import onnx_speed  # noqa: E402
from benchmarks.onnx_speed import OURS, TORCH, Options, graphs, measure, table  # noqa: E402
from pmm_jax.config import Config, DataConfig, MethodConfig, ModelConfig  # noqa: E402
from pmm_jax.errors import UserError  # noqa: E402

TOY = Config(
    data=DataConfig(image_size=(64, 32)),
    model=ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16, weights="scratch"),
)
OPTIONS = Options(batches=(1, 3), rounds=3, warm_up=1, identities=5)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return graphs(TOY, 5)


def test_a_row_for_each_batch_and_number_of_threads(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_speed, "graphs", lambda *_: files)
    rows = measure(TOY, OPTIONS)
    threads = sorted({1, os.cpu_count() or 1})
    assert [(row["threads"], row["batch"]) for row in rows] == [
        (number, batch) for number in threads for batch in (1, 3)
    ]
    for row in rows:
        assert 0 < row["difference"] < 1e-5
        assert row["ratio"] == row["seconds"][OURS] / row["seconds"][TORCH] > 0
    assert len(table(rows).splitlines()) == 1 + len(rows)


def test_embeddings_of_zero_prove_nothing() -> None:
    class Dead:
        def run(self, *_: object) -> list[np.ndarray]:
            return [np.zeros((1, 4), np.float32)]

    with pytest.raises(UserError, match="an embedding is zero"):
        onnx_speed._difference({OURS: Dead(), TORCH: Dead()}, np.zeros(1))


def test_graphs_that_compute_something_else_are_not_compared(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    other = onnx.load_from_string(files[TORCH])
    bias = next(x for x in other.graph.initializer if x.name == "reduction1.0.bias")
    bias.raw_data = np.ones(16, np.float32).tobytes()
    monkeypatch.setattr(
        onnx_speed, "graphs", lambda *_: {**files, TORCH: other.SerializeToString()}
    )
    with pytest.raises(UserError, match="outputs differ by"):
        measure(TOY, OPTIONS)


def test_the_twin_is_pmm_alone() -> None:
    with pytest.raises(UserError, match=r"--method\.name pmm"):
        graphs(Config(method=MethodConfig(name="bdb")), 5)
