"""What all tests share: strict flags, the slow tests' switch, a tiny data set and its config."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

# Ahead of jax's import; child processes inherit it.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

import hypothesis
import jax
import pytest

from pmm_jax.config import (
    Config,
    DataConfig,
    EvaluateConfig,
    MethodConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from pmm_jax.data.synthetic import SyntheticSettings, synthesize

# Entry points are imported here, too, and Ctrl-C is pytest's.
sys.modules["pmm_jax.early"] = ModuleType("pmm_jax.early")

PEOPLE = SyntheticSettings(
    train_identities=9,
    test_identities=3,
    cameras=2,
    min_cameras_each=2,
    max_shots=2,
    outfits=3,
    distractors=2,
    junk=1,
)


LONGEST = (
    "training/test_resume.py",
    "training/test_run_record.py",
    "report/test_bad_input.py",
    "comparison/test_pair.py",
    "model/test_operations.py",
    "training/test_devices.py",
    "comparison/test_bdb.py",
    "evaluation/test_embeddings.py",
    "report/test_browser.py",
    "docs/test_doctests.py",
    "test_model_file.py",
    "evaluation/test_metrics.py",
    "model/test_torch_checkpoint.py",
    "test_api.py",
    "test_package.py",
    "model/test_explain.py",
    "training/test_train_step.py",
    "training/test_program.py",
    "training/test_methods_step.py",
)
"""Files of 20 s and more, which begin first (the Makefile tells xdist to keep the order): the
processes then end together."""

FUZZ_TESTS = 14
"""Tests in tests/fuzz that share the examples."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run slow and real_data tests too")
    parser.addoption(
        "--examples", type=int, help="of all fuzz tests together: 100, with --all 1,000"
    )


COMPILED: list[tempfile.TemporaryDirectory] = []


def pytest_configure(config: pytest.Config) -> None:
    keep_compiled_programs()
    examples = config.getoption("--examples") or (1000 if config.getoption("--all") else 100)
    hypothesis.settings.register_profile(
        "fuzz",
        max_examples=max(examples // FUZZ_TESTS, 1),
        derandomize=True,  # the same examples on every machine
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("fuzz")


def keep_compiled_programs() -> None:
    """One compilation cache for the session's processes, children included: a step takes 15 s.

    `python -m tests.mutants` names one that its many sessions share.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        COMPILED.append(tempfile.TemporaryDirectory(prefix="compiled-"))
        os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED[0].name
        # With a limit jax locks the cache: what another process is writing is not read by half.
        os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**32)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "1.0"
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    limit = int(os.environ.get("JAX_COMPILATION_CACHE_MAX_SIZE", "-1"))
    jax.config.update("jax_compilation_cache_max_size", limit)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def pytest_unconfigure() -> None:
    while COMPILED:
        COMPILED.pop().cleanup()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONGEST)}
    root = Path(__file__).parent
    assert all((root / name).is_file() for name in LONGEST)
    items.sort(key=lambda item: rank.get(str(item.path.relative_to(root)), len(LONGEST)))
    if config.getoption("--all"):
        return
    reasons = {
        "slow": "slow: takes minutes; run by make test-all (pytest --all)",
        "real_data": "real_data: needs a real data set; run by make test-all (pytest --all)",
    }
    for item in items:
        for name, reason in reasons.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 in jax, for this test alone."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout: train.py, eval.py, configs/."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in Market-1501's layout with 36 training images of 9 people; not to be changed."""
    root = tmp_path_factory.mktemp("people") / "set"
    synthesize(root, PEOPLE)
    return root


@pytest.fixture(scope="session")
def tiny(people: Path) -> Config:
    """A run of 6 steps, 2 an epoch, batches of 4 x 2 images, on a 6 x 2 map of 6 blocks."""
    return Config(
        data=DataConfig(
            root=str(people),
            cache_dir=str(people.parent / "prepared"),
            image_size=(96, 32),
            identities_per_batch=4,
            images_per_identity=2,
            crop_padding=2,
            erase_size=8,
        ),
        model=ModelConfig(
            stage_sizes=(1, 1, 1, 1), width=1 / 8, embedding_size=16, weights="scratch"
        ),
        method=MethodConfig(top_k=2, block=(2, 1)),
        optim=OptimConfig(warmup_step_epochs=1),  # another rate in each epoch
        train=TrainConfig(epochs=3, log_every=1, evaluate_every=2, checkpoint_every=1),
        evaluate=EvaluateConfig(batch_size=8),
    )
