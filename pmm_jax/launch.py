"""What a command line says about the other processes of a run."""

from dataclasses import dataclass

from pmm_jax.fields import number


@dataclass(frozen=True)
class DistributedConfig:
    """How a process was told to join others; by default it is alone."""

    distributed: bool = False
    """Join the processes that Slurm, Open MPI, Kubernetes or a TPU pod started with this one."""
    coordinator: str = ""
    """HOST:PORT that process 0 listens on, where none of those can tell."""
    processes: int = number(0, 0, 65_536)
    """How many processes there are, with coordinator."""
    process: int = number(-1, -1, 65_535)
    """Which of them this one is, from 0, with coordinator."""
