"""pmm parity FILE.npz."""

import sys
from collections.abc import Sequence

from pmm_jax.cli.parsing import wants_help
from pmm_jax.errors import UserError
from pmm_jax.files import user_path

USAGE = "pmm parity FILE.npz"


def parity_command(arguments: Sequence[str]) -> None:
    """Read the golden file, compare in float64, exit with 1 where they disagree."""
    if wants_help(arguments):
        print(f"usage: {USAGE}\n\nExits with 1 where a quantity is beyond its tolerance.")
        return
    if len(arguments) != 1:
        raise UserError(f"parity needs a golden file: {USAGE}")
    import jax

    from pmm_jax.comparison.golden import read_golden
    from pmm_jax.comparison.parity import print_parity

    golden = read_golden(user_path(arguments[0]))
    with jax.enable_x64(True):
        agrees = print_parity(golden)
    sys.exit(not agrees)
