"""Command-line options of multi-process runs."""

from dataclasses import dataclass

from pmm_jax.fields import number


@dataclass(frozen=True)
class DistributedConfig:
    """Options of a multi-process run; by default the process is alone."""

    distributed: bool = False
    """Join the processes that Slurm, Open MPI, Kubernetes or a TPU pod started with this one."""
    coordinator: str = ""
    """HOST:PORT that process 0 listens on, where none of those can tell."""
    processes: int = number(0, 0, 65_536)
    """Number of processes; needs coordinator."""
    process: int = number(-1, -1, 65_535)
    """Index of this process, from 0; needs coordinator."""
