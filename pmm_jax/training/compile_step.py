"""The training step as a compiled program: placement, randomness by step, several steps a call."""

from collections.abc import Callable

import jax

from pmm_jax.distributed.sharding import replicated, shard_pytree
from pmm_jax.model.operations import compiler_options
from pmm_jax.model.saliency import SaliencyTrunk, load_saliency_trunk
from pmm_jax.training.initial import has_saliency_trunk
from pmm_jax.training.loader import TrainLoader
from pmm_jax.training.state import TrainState, mesh_of
from pmm_jax.training.train_step import Metrics, TrainTask, sample_batch, train_step

CompiledStep = Callable[..., tuple[TrainState, Metrics]]
"""The state and what `TrainLoader` yields, to the next state."""


def jit_step(
    task: TrainTask, state: TrainState, length: int = 1, has_saliency: bool = False
) -> jax.stages.Wrapped:
    """The training step before compilation: (state, images, labels) to (state, metrics).

    All randomness comes from (seed, step), so a resumed run repeats what it would have done. The
    state is donated: its old buffers are gone after the call. Instead of images it also takes
    positions, with the images that they index as a last argument.

    Args:
        task: what is trained, and how.
        state: placed on a mesh, or its shapes with their shardings.
        length: steps a call; several take stacked inputs and give stacked metrics.
        has_saliency: take a SaliencyTrunk after the state.
    """
    seed_key = jax.random.key(task.config.train.seed)

    def one(
        state: TrainState,
        saliency: SaliencyTrunk | None,
        source: jax.Array,
        labels: jax.Array,
        pixels: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]:
        images = source if pixels is None else pixels[source]
        batch = sample_batch(task, jax.random.fold_in(seed_key, state.step), images, labels)
        return train_step(task, state, batch, saliency)

    def several(
        state: TrainState,
        saliency: SaliencyTrunk | None,
        sources: jax.Array,
        labels: jax.Array,
        pixels: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]:
        # The length is fixed: a GPU would ask the host after every turn of another loop.
        return jax.lax.scan(
            lambda state, now: one(state, saliency, *now, pixels), state, (sources, labels)
        )

    run = one if length == 1 else several

    def without_saliency(state: TrainState, *inputs: jax.Array) -> tuple[TrainState, Metrics]:
        return run(state, None, *inputs)

    shardings = jax.tree.map(lambda array: array.sharding, state), replicated(mesh_of(state))
    return jax.jit(
        run if has_saliency else without_saliency, donate_argnums=0, out_shardings=shardings
    )


def compile_step(
    task: TrainTask,
    state: TrainState,
    inputs: tuple[jax.Array | jax.ShapeDtypeStruct, ...],
    length: int = 1,
    saliency: SaliencyTrunk | None = None,
) -> CompiledStep:
    """Compile the step ahead of time for these shapes; later calls never recompile."""
    step = jit_step(task, state, length, has_saliency=saliency is not None)
    if saliency is None:
        return step.lower(state, *inputs).compile(compiler_options())
    compiled = step.lower(state, saliency, *inputs).compile(compiler_options())
    return lambda state, *inputs: compiled(state, saliency, *inputs)


def compile_steps(
    task: TrainTask, state: TrainState, loader: TrainLoader
) -> dict[int, CompiledStep]:
    """The step for one batch, and for as many as the loader yields at once, by their number."""
    method, saliency = task.config.method, None
    if has_saliency_trunk(task.config):
        trunk = load_saliency_trunk(method.saliency_model)
        saliency = shard_pytree(trunk, replicated(mesh_of(state)))
    return {
        length: compile_step(task, state, loader.example(length), length, saliency)
        for length in {1, loader.length}
    }
