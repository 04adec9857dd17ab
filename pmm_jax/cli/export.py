"""pmm export MODEL FILE: what is written is by FILE's ending."""

from collections.abc import Sequence
from importlib import import_module

from pmm_jax.cli.parsing import wants_help
from pmm_jax.errors import UserError
from pmm_jax.files import user_path

USAGE = "pmm export MODEL FILE [options]"
FORMATS = {
    ".safetensors": ("export_model_file", "a whole model in one file, for pmm_jax.load"),
    ".onnx": ("export_onnx", "a graph for trackers and inference engines"),
    ".stablehlo": ("export_stablehlo", "a program for CPU, CUDA and TPU, run by jax"),
}
"""Module of `cli` that writes each ending, by a function `export_file`, and what it writes."""


def export_command(arguments: Sequence[str]) -> None:
    """Have the module of FILE's ending parse the options and write."""
    if wants_help(arguments[:2]):
        listing = "\n".join(f"  {ending:<15}{what}" for ending, (_, what) in FORMATS.items())
        print(f"usage: {USAGE}\n\nFILE ends in\n{listing}\n")
        print("pmm export MODEL FILE --help lists the options of that ending.")
        return
    if len(arguments) < 2 or any(word.startswith("-") for word in arguments[:2]):
        raise UserError(f"export needs what to read and what to write: {USAGE}")
    source, target = arguments[0], user_path(arguments[1])
    ending = next((ending for ending in FORMATS if target.name.endswith(ending)), None)
    if ending is None:
        raise UserError(f"{target}: its name must end in {' or '.join(FORMATS)}")
    module = import_module(f"pmm_jax.cli.{FORMATS[ending][0]}")
    module.export_file(source, target, arguments[2:])
