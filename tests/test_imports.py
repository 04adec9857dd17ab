"""Imports point down only, and what knows nothing of files stays so.

docs/design/architecture.md has the layers: entry points -> training -> inference -> evaluation,
data -> model, mixing -> config. Two edges that the sketch leaves open are settled here: `model`
uses `mixing` (Grad-CAM of a head), never the other way round; and `evaluation` and
`data` don't know each other, inference joins them.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pmm_jax"

LAYERS = [
    {"early", "errors", "runtime", "display"},
    {"files", "fields", "registry"},
    {"npz", "file_lock"},
    {"config", "launch", "embedding_table", "calibration"},
    {"config_check"},
    {"cli.parsing"},
    {"distributed"},
    {"mixing"},
    {"model"},
    {"methods"},
    {"data", "evaluation", "workdir"},
    {"pixels", "color_baseline"},
    {"sources"},
    {"inference", "model_file"},
    {"api"},
    {"embedding"},
    {"report", "export"},
    {"search"},
    {"serve"},
    {"training"},
    {"torch_baseline"},
    {"ablation", "comparison"},
    {"cli"},
    {"__init__", "__main__"},
]
"""Lowest first. A module imports from its own part and from the layers below."""
READS_COMMANDS = {"parsing", "config_file", "program"}
"""Modules of `cli` that know no verb: what starts processes of its own uses them, too."""

FILES = {"pathlib", "os", "io", "shutil", "zipfile", "tempfile", "json"}
COMMAND_LINE = {"argparse", "tyro", "sys", "rich", "pmm_jax.cli"}
CHECKPOINTS = {"orbax", "tensorboardX", "grain", "tensorflow_datasets"}


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            # `from pmm_jax.data import folder` may name a module.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(name: str) -> str | None:
    """The part of the package that an imported name belongs to."""
    words = name.split(".")
    if words[0] != "pmm_jax" or len(words) < 2:
        return None
    return "cli.parsing" if words[1] == "cli" and READS_COMMANDS & set(words[2:3]) else words[1]


def layer(name: str) -> int:
    found = [depth for depth, names in enumerate(LAYERS) if name in names]
    assert found, f"{name} is in no layer; put it into LAYERS of this test"
    return found[0]


@pytest.mark.parametrize("path", modules(PACKAGE), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = part(".".join(["pmm_jax", *path.relative_to(PACKAGE).with_suffix("").parts]))
    assert own is not None
    for name in imported(path):
        other = part(name)
        if other is not None and other != own:
            assert layer(other) < layer(own), f"{own} imports {name}"


def test_the_test_sees_what_it_should() -> None:
    found = set(imported(PACKAGE / "training" / "loop.py"))
    assert "pmm_jax.training.compile_step.compile_steps" in found
    assert part("pmm_jax.data.prepare.prepare") == "data"
    assert part("numpy") is None
    assert part("pmm_jax.cli.program.main") == "cli.parsing"
    assert part("pmm_jax.cli.train.train_command") == "cli"
    assert layer("mixing") < layer("model") < layer("methods") < layer("training")


def reached(module: str) -> set[str]:
    """Files of the package that a module imports, directly or through others."""
    found: set[str] = set()
    names = [module]
    while names:
        words = names.pop().split(".")[1:]
        # The longest prefix that is a file: what is behind it is defined there.
        for length in range(len(words), 0, -1):
            stem = PACKAGE.joinpath(*words[:length])
            path = stem.with_suffix(".py") if not stem.is_dir() else stem / "__init__.py"
            if path.is_file():
                name = path.relative_to(PACKAGE).as_posix()
                if name not in found:
                    found.add(name)
                    names += [name for name in imported(path) if part(name)]
                break
    return found


@pytest.mark.parametrize("module", ["evaluation", "inference", "api", "cli.eval"])
def test_nothing_that_uses_a_trained_model_imports_training(module: str) -> None:
    """Neither an embedding, nor its figures, nor a run that is loaded or evaluated."""
    found = reached(f"pmm_jax.{module}")
    assert len(found) > 10
    assert not {name for name in found if name.startswith("training/")}
    assert "training/hooks.py" in reached("pmm_jax.cli.train")


def roots(path: Path) -> set[str]:
    names = set(imported(path))
    return {name.split(".")[0] for name in names} | {".".join(n.split(".")[:2]) for n in names}


@pytest.mark.parametrize("folder", ["mixing", "evaluation"])
def test_mixing_and_evaluation_know_no_files_checkpoints_or_command_lines(folder: str) -> None:
    readers = {"features_file.py", "features_formats.py"}
    paths = [path for path in modules(PACKAGE / folder) if path.name not in readers]
    assert len(paths) > 3
    for path in paths:
        assert not roots(path) & (FILES | COMMAND_LINE | CHECKPOINTS), path
        calls = [
            node.func.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert not {"open", "print", "input"} & set(calls), path


def test_features_file_knows_no_command_line_or_checkpoint() -> None:
    for name in ("features_file.py", "features_formats.py"):
        assert not roots(PACKAGE / "evaluation" / name) & (COMMAND_LINE | CHECKPOINTS)


def test_entry_points_hold_no_jax() -> None:
    for name in ("train.py", "eval.py"):
        assert not {"jax", "flax", "optax", "orbax"} & roots(ROOT / name)


def test_torch_is_only_for_its_files_and_for_comparison() -> None:
    users = {
        path.relative_to(PACKAGE).as_posix() for path in modules(PACKAGE) if "torch" in roots(path)
    }
    users = {user for user in users if not user.startswith(("torch_baseline/", "comparison/"))}
    # cli/compare.py asks whether it is installed.
    assert users <= {"model/torch_file.py", "cli/compare.py"}


def test_the_torch_baseline_knows_nothing_of_jax() -> None:
    for path in modules(PACKAGE / "torch_baseline"):
        assert not {"jax", "flax", "optax"} & roots(path), path
        assert {part(name) for name in imported(path)} <= {None, "config", "torch_baseline"}, path


PROCESS = {
    *("os.environ", "os.putenv", "os.umask", "os.chdir", "locale.setlocale", "signal.signal"),
    *("warnings.filterwarnings", "warnings.simplefilter", "jax.config.update", "random.seed"),
    *("sys.unraisablehook", "sys.excepthook", "sys.stdout", "sys.stderr", "sys.path"),
    *("sys.modules", "addFilter", "addHandler", "setLevel", "basicConfig"),
}
"""What changes the process where it is called, set or deleted."""
RESTORED = {
    "export/stablehlo_file.py": {"jax.config.update"},  # no source files in what is lowered
    "training/interrupt.py": {"signal.signal"},
    "workdir/checkpoint.py": {"addFilter"},
    "data/source_images.py": {"warnings.filterwarnings"},
    "evaluation/projection.py": {"warnings.filterwarnings"},
    "model/torch_file.py": {"warnings.simplefilter"},
}
"""What library calls change for a while, and put back."""
COMMANDS = {
    "early.py": {"signal.signal"},
    "distributed/processes.py": {"jax.config.update"},  # initialize_distributed
}


def changes_of_the_process(path: Path) -> set[str]:
    """Names of PROCESS that a file calls, sets or deletes."""
    touched: list[ast.expr] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            touched.append(node.func)
        elif isinstance(node, ast.Assign | ast.Delete):
            touched += node.targets
    touched += [name for node in touched if isinstance(node, ast.Tuple) for name in node.elts]
    places = [node.value if isinstance(node, ast.Subscript) else node for node in touched]
    names = {ast.unparse(place) for place in places}
    return (names | {name.rpartition(".")[2] for name in names}) & PROCESS


PLATFORM = re.compile(
    r"default_backend|sys\.platform|platform_dependent|os\.name\b|import platform|device_kind"
    r"|devices\([^)]*\)\[[^]]*\]\.platform"
)


def test_the_platform_is_queried_in_runtime_alone() -> None:
    """All others ask `runtime.on_cpu`, and what a CPU gets instead lies in `model/cpu/`."""
    asking = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules(PACKAGE)
        if PLATFORM.search(path.read_text(encoding="utf-8"))
    }
    assert asking == {
        f"runtime/{name}.py"
        for name in ("children", "compile_cache", "heap", "machine", "peak_rss", "platforms")
    }


def test_the_process_is_set_up_in_runtime_alone() -> None:
    inside, outside = set(), {}
    for path in modules(PACKAGE):
        name, found = path.relative_to(PACKAGE).as_posix(), changes_of_the_process(path)
        if name.startswith("runtime/"):
            inside |= found
        elif found:
            outside[name] = found
    assert outside == RESTORED | COMMANDS
    assert {"os.environ", "sys.stdout", "sys.modules", "jax.config.update", "addFilter"} <= inside
