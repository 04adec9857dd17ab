"""Dispatch a command line to its verb."""

from collections.abc import Sequence
from importlib import import_module

from pmm_jax.cli.program import main
from pmm_jax.errors import UserError

VERBS = {
    "train": "Train a model: train --config NAME --workdir DIR",
    "eval": "Evaluate a run, or saved embeddings of any model: eval --workdir DIR",
    "report": "Show a run on one page, or several beside each other: report RUN [RUN ...]",
    "explain": "Show where each stage looks, or what made two images match: explain RUN IMAGE",
    "demo": "Draw synthetic people, train on them and evaluate, in minutes on a CPU: demo",
    "prepare": "Check a data set and build its prepared form: prepare --config NAME",
    "synthesize": "Draw a re-ID set of synthetic people: synthesize DIR",
    "convert": "Convert weights from or to PyTorch: convert RUN_OR_FILE FILE",
    "export": "Write a model for other programs: export MODEL FILE.safetensors",
    "calibrate": "Find the distance below which two images show one person: calibrate RUN",
    "embed": "Embed the images of a folder, CSV file or video: embed MODEL SOURCE OUT.npz",
    "gallery": "Keep embedded images to search in: gallery create GALLERY --model MODEL SOURCE",
    "search": "Find the images of a gallery that are most alike: search GALLERY IMAGE...",
    "link": "Give tracklets of several cameras identities: link TRACKLETS.csv --model MODEL",
    "serve": "Search a gallery in a browser, or through an API: serve GALLERY",
    "parity": "Compare model and step with numbers of the PyTorch release: parity FILE.npz",
    "compare": "Train ours and a PyTorch baseline side by side: compare --config NAME",
    "ablate": "Train methods side by side: ablate --config NAME --methods pmm cutout ...",
}
"""Description of each verb. Verb `x` is the function `x_command` of `x.py`, beside this file."""


def pmm(*verb: str) -> None:
    """Run the process's command line; train.py and eval.py give their verb."""
    main(lambda arguments: run_verb([*verb, *arguments]))


def run_verb(arguments: Sequence[str]) -> None:
    """Run the verb that the first argument names."""
    if not arguments or arguments[0] in ("-h", "--help"):
        listing = "\n".join(f"  {verb:<12}{line}" for verb, line in VERBS.items())
        print(f"usage: pmm VERB ...\n\n{listing}\n\npmm VERB --help lists a verb's options.")
        return
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        raise UserError(f"no verb {verb}; there are {', '.join(VERBS)}")
    # Only now: one verb's imports are no other's.
    module = import_module(f"pmm_jax.cli.{verb}")
    getattr(module, f"{verb}_command")(rest)
