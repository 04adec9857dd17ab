"""The defaults are the paper's settings for Market-1501, on the released network."""

from typing import Any

import pytest

from pmm_jax.config import Config

PAPER = {
    # Section 3.1, Implementation details.
    "data.image_size": (384, 128),
    "data.identities_per_batch": 16,
    "data.images_per_identity": 4,
    "data.flip_probability": 0.5,
    "data.crop_padding": 0,
    "data.color_jitter": 0.0,
    "data.erase_probability": 0.5,
    "data.erase_size": 64,
    "model.depth": (3, 4, 6, 3),
    "model.width": 1.0,
    "model.embedding_size": 512,
    "model.pooling": "paper",
    "model.neck": "paper",
    "model.weights": "imagenet",
    "model.zero_last_scale": False,
    "model.compute_dtype": "float32",
    "method.name": "pmm",
    "method.stages": 3,
    "method.top_k": 3,
    "method.block": (3, 2),
    "method.mining": "random",
    "method.cumulative": False,
    "method.label_smoothing": 0.1,
    "method.drop_height": 0.33,
    "optim.peak_lr": 1e-3,
    "optim.schedule": "step",
    "optim.warmup_epochs": 49,
    "optim.warmup_stair": 5,
    "optim.decay_epochs": (200, 300),
    "optim.weight_decay": 5e-4,
    "optim.decoupled_decay": 0.0,
    "optim.average_decay": 0.0,
    "optim.betas": (0.9, 0.999),
    "optim.eps": 1e-8,
    "train.epochs": 400,
    # Zhong et al., CVPR 2017, for re-ranking.
    "evaluate.distance": "euclidean",
    "evaluate.cameras": True,
    "evaluate.multi_query": "none",
    "evaluate.single_shot": 0,
    "evaluate.rerank": False,
    "evaluate.k1": 20,
    "evaluate.k2": 6,
    "evaluate.weight": 0.3,
    "evaluate.flip_average": False,
}


@pytest.mark.parametrize(("field", "value"), PAPER.items())
def test_the_default_is_the_papers(field: str, value: Any) -> None:
    group, name = field.split(".")
    assert getattr(getattr(Config(), group), name) == value
