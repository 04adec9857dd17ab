"""Peak memory of a training step, each side in a process of its own.

python -m pmm_jax.comparison.memory ours|baseline WORKDIR IDENTITIES PRECISION
"""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from pmm_jax.config import Config
from pmm_jax.errors import UserError
from pmm_jax.training.workdir import read_config

STEPS = 3


def peak_memory(side: str, workdir: Path, num_ids: int, precision: str) -> int:
    """Bytes resident at most in a process that takes three steps on made-up batches.

    Its interpreter and libraries count, as they do for a user.
    """
    arguments = [side, str(workdir), str(num_ids), precision]
    done = subprocess.run(
        [sys.executable, "-m", "pmm_jax.comparison.memory", *arguments],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise UserError(f"the memory of {side} can't be measured: {reason}")
    return int(done.stdout)


def _batch(config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, H, W, 3), labels and negatives."""
    rng = np.random.default_rng(0)
    identities, each = config.data.identities_per_batch, config.data.images_per_identity
    labels = np.repeat(np.arange(identities), each)
    images = rng.standard_normal((len(labels), *config.data.image_size, 3), np.float32)
    return images, labels, np.roll(np.arange(len(labels)), each)


def _ours(config: Config, num_ids: int, precision: str) -> None:
    import jax

    jax.config.update("jax_enable_x64", precision == "float64")
    import jax.numpy as jnp

    from pmm_jax.host_memory import keep_freed_memory
    from pmm_jax.model.initial import initialise
    from pmm_jax.model.pmm import build
    from pmm_jax.training.optimizer import adam
    from pmm_jax.training.state import new_state
    from pmm_jax.training.step import apply_step

    keep_freed_memory()
    network = build(config, num_ids, jnp.dtype(precision))
    network = network._replace(compute_dtype=jnp.dtype(precision))
    transform = adam(config.optim, lambda _: config.optim.peak_lr)
    params, stats = jax.device_put(initialise(network, 0))
    state = new_state(params, stats, transform)
    step = jax.jit(
        lambda state, images, labels, negatives: apply_step(
            network, config, transform, state, images, labels, (negatives, negatives)
        ),
        donate_argnums=0,
    )
    images, labels, negatives = _batch(config)
    for _ in range(STEPS):
        state, _ = step(state, images.astype(precision), labels, negatives)
    jax.block_until_ready(state)


def _baseline(config: Config, num_ids: int, precision: str) -> None:
    import torch

    from pmm_jax.torch_baseline.model import PMM
    from pmm_jax.torch_baseline.step import adam, train_step

    kind = torch.float64 if precision == "float64" else torch.float32
    model = PMM(config.model, config.method, num_ids).to(kind).train()
    optimizer = adam(model, config.optim)
    images, labels, negatives = (torch.from_numpy(array) for array in _batch(config))
    images = images.to(kind).permute(0, 3, 1, 2).contiguous()
    for _ in range(STEPS):
        train_step(model, optimizer, 1e-4, images, labels, (negatives, negatives))


def forget_peak() -> None:
    """Count the peak from here on, where Linux lets us."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5", encoding="ascii")


def peak() -> int:
    """Bytes that this process held at most.

    Linux counts in ru_maxrss what the parent held when it started us, so its own file comes first.
    """
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="utf-8").splitlines() if status.is_file() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    side, folder, identities, kind = sys.argv[1:]
    {"ours": _ours, "baseline": _baseline}[side](read_config(Path(folder)), int(identities), kind)
    print(peak())
