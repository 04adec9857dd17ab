"""pmm prepare --config NAME [--data.root DIR ...]."""

from collections.abc import Sequence

from pmm_jax.cli.parsing import parse_run
from pmm_jax.config import Config


def prepare_command(arguments: Sequence[str]) -> None:
    """Parse, prepare."""
    config, _ = parse_run(
        arguments, Config, "Check a data set and build its prepared form.", "pmm prepare"
    )
    from pmm_jax.data.prepare import prepare

    folder = prepare(config.data, print, same_camera_rule=config.evaluate.cameras)
    print(f"prepared in {folder}")
