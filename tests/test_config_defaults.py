"""The defaults are the paper's settings on the released network (section 3.1; the release)."""

import dataclasses

from pmm_jax.config import Config, DataConfig, ModelConfig
from pmm_jax.fields import walk

PAPER = {
    "data.name": "market1501",
    "data.image_size": (384, 128),
    "data.identities_per_batch": 16,
    "data.images_per_identity": 4,
    "data.flip_probability": 0.5,
    "data.crop_padding": 0,
    "data.color_jitter": 0.0,
    "data.erase_probability": 0.5,
    "data.erase_size": 64,
    "model.stage_sizes": (3, 4, 6, 3),
    "model.width": 1.0,
    "model.embedding_size": 512,
    "model.pooling": "avg_max",
    "model.neck": "bn_relu",
    "model.ibn_a": False,
    "model.weights": "imagenet",
    "model.zero_init_last": False,
    "model.compute_dtype": "float32",
    "method.name": "pmm",
    "method.stages": 3,
    "method.top_k": 3,
    "method.block": (3, 2),
    "method.mining": "random",
    "method.cumulative": False,
    "method.label_smoothing": 0.1,
    "method.center_loss": 0.0,
    "method.drop_ratio": 0.33,
    "optim.optimizer": "adam",
    "optim.peak_lr": 1e-3,
    "optim.schedule": "step",
    "optim.warmup_epochs": 49,
    "optim.warmup_step_epochs": 5,
    "optim.delay_epochs": 0,
    "optim.min_lr": 0.0,
    "optim.milestones": (200, 300),
    "optim.freeze_steps": 0,
    "optim.weight_decay": 5e-4,
    "optim.centralize": "none",
    "optim.ema_decay": 0.0,
    "optim.betas": (0.9, 0.999),
    "optim.eps": 1e-8,
    "train.epochs": 400,
    "evaluate.distance": "euclidean",
    "evaluate.cameras": True,
    "evaluate.multi_query": "none",
    "evaluate.single_shot": 0,
    "evaluate.query_expansion_k": 0,
    "evaluate.dba_k": 0,
    "evaluate.rerank": False,
    "evaluate.faiss_index": "",
    "evaluate.flip_average": False,
}
"""What the paper or the release fixes."""

OURS = {
    "data.root": "data/Market-1501-v15.09.15",
    "data.cache_dir": "data/prepared",
    "data.cameras": "read",
    "data.allow_duplicates": False,
    "data.train_fraction": 0.5,
    "data.host_cache_gib": 8.0,
    "data.device_cache_gib": 4.0,
    "data.num_workers": 2,
    "model.remat": False,
    "method.negatives": "shard",
    "method.saliency_model": "own",
    "optim.shard_moments": False,
    "train.seed": 0,
    "train.log_every": 10,
    "train.steps_per_call": 0,
    "train.evaluate_every": 50,
    "train.checkpoint_every": 10,
    "train.profile_steps": 5,
    "evaluate.qe_alpha": 3.0,
    "evaluate.k1": 20,
    "evaluate.k2": 6,
    "evaluate.rerank_lambda": 0.3,
    "evaluate.nprobe": 16,
    "evaluate.index_top_n": 1000,
    "evaluate.seed": 0,
    "evaluate.batch_size": 128,
    "evaluate.checkpoint": "latest",
    "evaluate.query_block": 512,
}
"""What neither knows; re-ranking's numbers are those of Zhong et al."""


def test_the_defaults_are_the_papers() -> None:
    found = {}
    for name, _, _ in walk(Config):
        group, field = name.split(".")
        found[name] = getattr(getattr(Config(), group), field)
    assert found == PAPER | OURS


def test_the_groups_own_defaults_are_the_configs() -> None:
    assert Config().data == DataConfig()
    assert Config().model == ModelConfig()
    assert {field.name for field in dataclasses.fields(Config)} == {
        name.split(".")[0] for name in PAPER
    }
