"""Exceptions that entry points turn into one line."""


class UserError(Exception):
    """A wrong input: missing data, a misspelt field, sizes that don't divide.

    The message is one line that names what is wrong and how to fix it. Entry points print it on
    standard error and exit with code 2, without a traceback; every other exception is a bug.

    Example:
        >>> from pmm_jax.errors import UserError
        >>> try:
        ...     pmm_jax.load("runs/dmeo")
        ... except UserError as error:
        ...     print(error)
        can't read weights runs/dmeo: No such file or directory; give a run's folder, or ...
    """


class Interrupted(Exception):
    """A signal ended a run; its state was saved. Entry points exit with code 130."""

    def __init__(self, step: int, steps: int) -> None:
        super().__init__(f"stopped and saved after step {step} of {steps}")


def missing_extra(what: str, extra: str, otherwise: str = "") -> UserError:
    """The refusal where an optional part of the package is not installed.

    Args:
        what: needs it.
        extra: its name in pyproject.toml.
        otherwise: what helps without it.
    """
    end = f", or {otherwise}" if otherwise else ""
    return UserError(f'{what} needs an extra: pip install "pmm_jax[{extra}]"{end}')
