"""What an import and a library call leave alone, and what the package says of itself."""

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

import pmm_jax
from pmm_jax.config import Config

HEAVY = ("jax", "flax", "torch", "numpy", "orbax", "tensorflow_datasets", "tyro", "matplotlib")

IMPORT = """
import sys, time
started = time.perf_counter()
import pmm_jax
print(time.perf_counter() - started)
print(*sys.modules)
"""


def output(project: Path, code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_is_light(project: Path) -> None:
    # The shortest of three: other processes of this machine count, too.
    told = [output(project, IMPORT).splitlines() for _ in range(3)]
    assert min(float(seconds) for seconds, _ in told) < 0.3
    assert not {name.split(".")[0] for name in told[0][1].split()} & set(HEAVY)


def test_the_facade_is_whole(project: Path) -> None:
    from pmm_jax.api import Model, evaluate, load, load_torch
    from pmm_jax.methods import METHODS
    from pmm_jax.training.loop import train

    for name, value in [
        ("Config", Config),
        ("METHODS", METHODS),
        ("Model", Model),
        ("evaluate", evaluate),
        ("load", load),
        ("load_torch", load_torch),
        ("train", train),
    ]:
        assert getattr(pmm_jax, name) is value
        assert name in pmm_jax.__all__
        assert name in dir(pmm_jax)
    with pytest.raises(AttributeError, match="no attribute nothing"):
        pmm_jax.nothing  # noqa: B018


GLOBALS = """
import asyncio, ctypes, faulthandler, gc, locale, logging, os, resource, signal, sys
import threading, warnings
from pathlib import Path

called = set()


class Listening(ctypes.CDLL):
    def __getattr__(self, name):
        called.add(name)
        return super().__getattr__(name)


ctypes.CDLL = Listening

# Libraries of others may do at their import what they like; ours may not.
import absl.logging, grain, h5py, huggingface_hub, jax, numpy, optax, orbax.checkpoint, PIL.Image
import flax.linen, rich.console, rich.progress, scipy.sparse, scipy.special
import tensorboardX.event_file_writer, tensorboardX.summary, tensorflow_datasets


def state():
    loggers = {"": logging.root, **logging.root.manager.loggerDict}
    return {
        "environment": dict(os.environ),
        "signals": {str(number): signal.getsignal(number) for number in signal.valid_signals()},
        "hooks": [sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook],
        "streams": [sys.stdout, sys.stderr],
        "warnings": list(warnings.filters),
        "loggers": {
            name: (logger.level, list(logger.handlers), list(logger.filters), logger.disabled)
            for name, logger in loggers.items()
            if isinstance(logger, logging.Logger)
            if logger.level or logger.handlers or logger.filters
        },
        "folder": os.getcwd(),
        "umask": [os.umask(mask := os.umask(0)), mask][1],
        "path": [*sys.path, *sys.path_hooks, *sys.meta_path],
        "hidden": sorted(name for name, module in sys.modules.items() if module is None),
        "locale": locale.setlocale(locale.LC_ALL),
        "limits": [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)],
        "recursion": sys.getrecursionlimit(),
        # Not Python's own generator: tfds draws a folder's name from it.
        "random": hash(str(numpy.random.get_state())),
        "numpy": numpy.geterr(),
        "print": numpy.get_printoptions(),
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "threads": (sys.getswitchinterval(), threading.stack_size(), faulthandler.is_enabled()),
        "tracing": (sys.gettrace(), sys.getprofile()),
        "affinity": os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
        "loop": asyncio.get_event_loop_policy(),
        "jax": {name: str(value) for name, value in jax.config.values.items()},
    }


def check(what):
    now = state()
    for name, value in before.items():
        assert now[name] == value, (what, name, value, now[name])


before = state()
import pmm_jax
check("import")
from pmm_jax.config_check import parse_config
config, workdir = parse_config(sys.argv[1]), Path(sys.argv[2])
metrics = pmm_jax.train(config, workdir)
check("train")
pmm_jax.load(workdir)
check("load")
assert pmm_jax.evaluate(workdir).mAP == metrics.mAP
check("evaluate")
# The finished run once more, where no handler of signals can be set.
again = []
thread = threading.Thread(target=lambda: again.append(pmm_jax.train(config, workdir)))
thread.start()
thread.join()
assert again[0].mAP == metrics.mAP
check("train in a thread")
assert "malloc_trim" in called or not sys.platform.startswith("linux")  # so calls are heard
assert not called & {"mallopt", "madvise", "prctl"}, called
"""


def test_library_calls_change_no_global_of_the_process(
    project: Path, tmp_path: Path, tiny: Config
) -> None:
    import json
    from dataclasses import replace

    short = replace(tiny, train=replace(tiny.train, epochs=1))
    output(project, GLOBALS, json.dumps(asdict(short)), str(tmp_path / "run"))


def pyproject(project: Path) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(file: Path) -> dict[str, str]:
    """Of several for one name, by Python's version, the first: the oldest Python's."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([\w.-]+)==([^ ;]+)", line) for line in lines)
    return {normal(match[1]): match[2] for match in reversed([*found]) if match}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_holds_the_lower_end_of_every_range(project: Path) -> None:
    extras = pyproject(project)["optional-dependencies"]
    for needed, file in [
        (pyproject(project)["dependencies"], "requirements.txt"),
        (extras["dev"] + extras["faiss"], "requirements-dev.txt"),
    ]:
        pinned = pins(project / file)
        for line in needed:
            name, _, least = line.partition(">=")
            if least:
                assert pinned[normal(name)] == least, line
    run = pins(project / "requirements.txt")
    assert run.items() <= pins(project / "requirements-dev.txt").items()


def test_every_import_of_the_package_is_declared(project: Path) -> None:
    """By the name of the import; a library that another one brings along is declared, too."""
    named = {"PIL": "pillow", "orbax": "orbax-checkpoint", "sklearn": "scikit-learn"}
    optional = {"torch", "faiss", "onnx", "onnxruntime", "av", "pymilvus", "starlette", "uvicorn"}
    brought = {"absl-py", "etils", "jaxlib", "markupsafe", "ml-dtypes"}
    declared = {normal(re.split("[>=]", line)[0]) for line in pyproject(project)["dependencies"]}
    assert brought <= {*pins(project / "requirements.txt")}
    for path in (project / "pmm_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            roots = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
            for root in roots - {"_typeshed"}:  # the type checker's own
                package = normal(named.get(root, root))
                known = declared | brought | optional | {"pmm-jax"}
                assert package in known, f"{path}: {root}"


def test_one_version_everywhere(project: Path) -> None:
    citation = (project / "CITATION.cff").read_text(encoding="utf-8")
    cited = re.search(r"^version: (.+)$", citation, re.MULTILINE)
    assert cited is not None
    assert cited[1] == pmm_jax.__version__
    assert pyproject(project)["dynamic"] == ["version"]
