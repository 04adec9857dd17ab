"""A few float64 steps on all devices; test_devices.py runs it in processes of its own.

Takes one JSON object: `first` and `last` step, `negatives`, `spread`, `save` and `restore`
(folders), `program`, and `launch` with the fields of Launch. Prints one: the losses, a sum of the
weights, and with `program` what the compiled step moves between devices.
"""

import json
import sys
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.hlo import by_kind, transfers
from pmm_jax.config import Config, DataConfig, MethodConfig, ModelConfig, OptimConfig
from pmm_jax.distributed.processes import initialize_distributed, is_first
from pmm_jax.distributed.sharding import (
    batch_sharding,
    data_mesh,
    local_rows,
    shard_pytree,
    split_batch,
)
from pmm_jax.launch import DistributedConfig
from pmm_jax.methods import create_model
from pmm_jax.training.compile_step import compile_step
from pmm_jax.training.initial import create_train_state
from pmm_jax.training.optimizer import learning_rate, make_optimizer
from pmm_jax.training.state import state_sharding
from pmm_jax.training.train_step import TrainTask, negative_shards
from pmm_jax.workdir.checkpoint import Checkpoints

IDENTITIES = 24


def config_of(negatives: Literal["shard", "batch"], spread: bool) -> Config:
    """A narrow model and batches of 16 x 2 images: two identities on each of eight devices."""
    return Config(
        data=DataConfig(
            image_size=(96, 32), identities_per_batch=16, images_per_identity=2, erase_size=8
        ),
        model=ModelConfig(
            stage_sizes=(1, 1, 1, 1), width=1 / 8, embedding_size=16, weights="scratch"
        ),
        method=MethodConfig(top_k=2, block=(2, 1), negatives=negatives),
        optim=OptimConfig(peak_lr=1e-4, warmup_epochs=0, shard_moments=spread),
    )


def batch(config: Config, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a step."""
    rng = np.random.default_rng(number)
    p, k = config.data.identities_per_batch, config.data.images_per_identity
    images = rng.integers(0, 256, (p * k, *config.data.image_size, 3), dtype=np.uint8)
    return images, np.repeat(rng.permutation(IDENTITIES)[:p], k).astype(np.int32)


def main(options: dict) -> None:
    """Train, print."""
    initialize_distributed(DistributedConfig(**options.get("launch", {})))
    config = config_of(options.get("negatives", "batch"), options.get("spread", False))
    network = create_model(config, IDENTITIES, jnp.float64)._replace(
        compute_dtype=jnp.dtype("float64")
    )
    transform = make_optimizer(config.optim, learning_rate(config.optim, 400, 10))
    size = config.data.identities_per_batch * config.data.images_per_identity
    mesh = data_mesh(size)
    task = TrainTask(network, config, transform, negative_shards(config, mesh.size))
    state = create_train_state(task)
    state = shard_pytree(state, state_sharding(mesh, state, config.optim.shard_moments))
    if "restore" in options:
        with Checkpoints(Path(options["restore"])) as checkpoints:
            state = checkpoints.restore(options["first"], state)
    shapes = [
        jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=batch_sharding(mesh))
        for x in batch(config, 0)
    ]
    step, losses = compile_step(task, state, tuple(shapes)), []
    rows = local_rows(mesh, size)
    for number in range(options["first"], options["last"]):
        local = (split_batch(mesh, array[rows], size) for array in batch(config, number))
        state, metrics = step(state, *local)
        losses.append(float(metrics["loss"]))
    if "save" in options:
        with Checkpoints(Path(options["save"])) as checkpoints:
            checkpoints.save(options["last"], state)
    program = {}
    if options.get("program"):
        found = transfers(step.as_text())  # type: ignore[attr-defined]  # a compiled program
        program = {
            "by_kind": by_kind(found),
            "shapes": [array.shape for transfer in found for array in transfer.arrays],
            "bytes": sum(transfer.size for transfer in found),
            "parameters": sum(x.size for x in jax.tree.leaves(state.params)),
            "statistics": sum(x.size for x in jax.tree.leaves(state.batch_stats)),
        }
    norm = jax.jit(lambda p: sum(jnp.abs(x).sum() for x in jax.tree.leaves(p)))(state.params)
    moments = jax.tree.leaves(state.opt_state)
    held = sum(x.addressable_shards[0].data.size for x in moments) / sum(x.size for x in moments)
    if is_first():
        print(
            json.dumps(
                {
                    "devices": jax.device_count(),
                    "processes": jax.process_count(),
                    "losses": losses,
                    "weights": float(norm),
                    "moments_held": held,
                    **program,
                }
            )
        )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
