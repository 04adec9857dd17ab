"""A model, a gallery of it, and a browser."""

from collections.abc import Iterator

import pytest

from pmm_jax.api import Model
from pmm_jax.search.gallery import Gallery
from tests.report.conftest import browser  # noqa: F401
from tests.serve.toys import BATCHES, tiny_model, toy_gallery


@pytest.fixture(scope="session", autouse=True)
def few_sizes() -> Iterator[None]:
    pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pmm_jax.serve.embedder.SIZES", BATCHES)
        patch.setattr("pmm_jax.serve.service.SEARCHES", BATCHES[-1])
        yield


@pytest.fixture(scope="session")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="session")
def gallery(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return toy_gallery(model, tmp_path_factory.mktemp("gallery"))
