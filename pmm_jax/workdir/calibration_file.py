"""The threshold that `pmm calibrate` found for a run, in its folder."""

import json
from pathlib import Path

from pmm_jax.calibration import Calibration, parse_calibration
from pmm_jax.errors import UserError
from pmm_jax.files import read_regular, write_atomic

CALIBRATION = "calibration.json"


def write_calibration(workdir: Path, calibration: Calibration) -> Path:
    """Write the file; returns its path.

    Raises:
        UserError: it can't be written.
    """
    path = workdir / CALIBRATION
    try:
        write_atomic(path, (json.dumps(calibration.as_json(), indent=1) + "\n").encode())
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from error
    return path


def read_calibration(workdir: Path) -> Calibration | None:
    """The calibration in a run's folder; None where there is none.

    Raises:
        UserError: the file can't be read, or is damaged.
    """
    path = workdir / CALIBRATION
    try:
        return parse_calibration(json.loads(read_regular(path)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({error}); remove it, and run pmm calibrate again"
        ) from error
