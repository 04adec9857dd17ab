"""The project's other commands: python -m pmm_jax VERB."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pmm_jax.cli import main, parse, parse_run
from pmm_jax.config import Config
from pmm_jax.errors import UserError


def prepare(arguments: Sequence[str]) -> None:
    """Check a data set and build its prepared form: prepare --config FILE."""
    config, _ = parse_run(arguments, Config, "Check a data set and build its prepared form.")
    from pmm_jax.data.prepare import prepare

    folder = prepare(config.data, report=print)
    print(f"prepared in {folder}")


def synthesize(arguments: Sequence[str]) -> None:
    """Draw a re-ID set of made-up people: synthesize DIR."""
    from pmm_jax.data.synthetic import SyntheticSettings, synthesize
    from pmm_jax.training.run_log import Display

    if not {"-h", "--help"} & set(arguments) and (not arguments or arguments[0].startswith("-")):
        raise UserError("synthesize needs a folder: python -m pmm_jax synthesize DIR")
    root, rest = arguments[0], arguments[1:]
    help_wanted = root in ("-h", "--help")
    settings = parse(
        SyntheticSettings(),
        [root] if help_wanted else rest,
        "Draw a re-ID set of made-up people in Market-1501's layout: synthesize DIR.",
    )
    display = Display()
    with display.bar("drawing", 0) as bar:
        count = synthesize(Path(root), settings, bar.reach, os.cpu_count() or 1)
    display.say(f"{root}: {count:,} images")


VERBS: dict[str, Callable[[Sequence[str]], None]] = {
    "prepare": prepare,
    "synthesize": synthesize,
}


def run(arguments: Sequence[str]) -> None:
    """Pick the verb."""
    listing = "\n".join(f"  {name:<12}{verb.__doc__}" for name, verb in VERBS.items())
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: python -m pmm_jax VERB ...\n\n{listing}")
        return
    if arguments[0] not in VERBS:
        raise UserError(f"no verb {arguments[0]}; there are {', '.join(VERBS)}")
    VERBS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    main(run)
