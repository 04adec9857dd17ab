"""pmm convert RUN_OR_FILE FILE."""

from collections.abc import Sequence

from pmm_jax.cli.parsing import wants_help
from pmm_jax.errors import UserError

USAGE = "pmm convert RUN_OR_FILE FILE (.pth.tar, .pth, .pt or .safetensors)"


def convert_command(arguments: Sequence[str]) -> None:
    """Read a model, write its weights."""
    if wants_help(arguments):
        print(f"usage: {USAGE}")
        return
    if len(arguments) != 2:
        raise UserError(f"convert needs what to read and what to write: {USAGE}")
    from pmm_jax.api import load_any

    source, target = arguments
    model = load_any(source)
    model.save(target)
    print(f"{target}: {model.kind}, {len(model.state_dict()):,} tensors")
