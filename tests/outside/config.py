"""A run of both, as a user's config file."""

from pmm_jax.config import (
    Config,
    DataConfig,
    EvaluateConfig,
    MethodConfig,
    ModelConfig,
    TrainConfig,
)
from tests.outside.half_mix import HalfMix
from tests.outside.stripes import Stripes

config = Config(
    data=DataConfig(
        name=Stripes.name,
        image_size=(96, 32),
        identities_per_batch=2,
        images_per_identity=2,
        erase_size=16,
    ),
    model=ModelConfig(stage_sizes=(1, 1, 1, 1), width=1 / 8, embedding_size=16, weights="scratch"),
    method=MethodConfig(name=HalfMix.name, top_k=1, block=(2, 1)),
    train=TrainConfig(epochs=2, log_every=1, evaluate_every=0),
    evaluate=EvaluateConfig(batch_size=8),
)
