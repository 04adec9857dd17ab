"""The wheel, in an empty folder, with no checkout in sight."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hatchling", reason="it builds the wheel (requirements-dev.txt)")
pytestmark = pytest.mark.slow

PEOPLE = (
    *("--people.train-identities", "6", "--people.test-identities", "3", "--people.cameras", "2"),
    *("--people.min-cameras-each", "2", "--people.max-shots", "2", "--people.distractors", "2"),
    *("--people.junk", "1"),
)
TINY = (
    *("--data.image-size", "64", "32", "--data.erase-size", "8", "--data.num-workers", "1"),
    *("--data.identities-per-batch", "4", "--data.images-per-identity", "2"),
    *("--model.stage-sizes", "1", "1", "1", "1", "--model.width", "0.125"),
    *("--model.weights", "scratch"),
    *("--model.embedding-size", "16", "--method.top-k", "1", "--method.block", "2", "1"),
    *("--optim.warmup-epochs", "1", "--train.epochs", "1", "--evaluate.batch-size", "8"),
)


class Installed:
    """The package in a folder of its own; all else is this interpreter's."""

    def __init__(self, root: Path, project: Path) -> None:
        self.site, self.empty = root / "site", root / "empty"
        self.empty.mkdir()
        self._pip("wheel", "--no-build-isolation", "--wheel-dir", str(root), str(project))
        [self.wheel] = root.glob("*.whl")
        self._pip("install", "--no-index", "--target", str(self.site), str(self.wheel))

    def _pip(self, *words: str) -> None:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *words]
        subprocess.run([*command, "--no-deps"], check=True, timeout=300)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command in the empty folder; its text."""
        # Ahead of all else; -P and no PYTHONPATH keep the checkout out.
        paths = [str(self.site), sysconfig.get_paths()["purelib"]]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONSAFEPATH": "1",
            "JAX_PLATFORMS": "cpu",
        }
        return subprocess.run(
            words, cwd=self.empty, env=environment, capture_output=True, text=True, timeout=900
        )

    def pmm(self, *words: str) -> str:
        """The command `pmm`, which must succeed; what it printed."""
        done = self.run(str(self.site / "bin" / "pmm"), *words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"), project)


@pytest.fixture(scope="module")
def demo(installed: Installed) -> str:
    return installed.pmm("demo", *PEOPLE, *TINY)


def test_the_wheel_is_whole(installed: Installed, project: Path) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    package = project / "pmm_jax"
    pages = (path for kind in ("j2", "css", "js") for path in package.rglob(f"*.{kind}"))
    data = {"pmm_jax/py.typed", *(path.relative_to(project).as_posix() for path in pages)}
    assert {"pmm_jax/comparison/page.html.j2", "pmm_jax/report/template/page.css"} <= data
    configs = {f"pmm_jax/configs/{path.name}" for path in (project / "configs").glob("*.py")}
    assert data | configs <= names
    code = {path.relative_to(project).as_posix() for path in (project / "pmm_jax").rglob("*.py")}
    assert code <= names
    others = {n for n in names if not n.startswith(("pmm_jax/", "pmm_jax-"))}
    assert not others
    assert not {name for name in names if "__pycache__" in name}


def test_it_is_the_wheel_that_runs(installed: Installed, project: Path) -> None:
    done = installed.run(sys.executable, "-c", "import pmm_jax; print(pmm_jax.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.site)
    done = installed.run(sys.executable, "-c", "import train")
    assert "No module named 'train'" in done.stderr
    assert installed.pmm("--help") == installed.run(sys.executable, "-m", "pmm_jax").stdout


def test_the_demo_in_an_empty_folder(installed: Installed, demo: str) -> None:
    assert "data/synthetic: " in demo
    assert "Rank-1" in demo
    assert "color alone: Rank-1 " in demo
    found = {path.name for path in installed.empty.iterdir()}
    assert {"data", "runs"} <= found
    again = installed.pmm("demo", *PEOPLE, *TINY)
    assert "the run is finished" in again


def test_the_demo_leaves_its_report(installed: Installed, demo: str) -> None:
    assert "report: runs/demo/report.html" in demo
    # Templates, styles and scripts come with the package, and no section failed.
    assert "Not shown" not in (installed.empty / "runs/demo/report.html").read_text()
    found = json.loads((installed.empty / "runs/demo/report.json").read_text())
    last = (installed.empty / "runs/demo/metrics.jsonl").read_text().splitlines()[-1]
    assert found["result"]["evaluation"]["mAP"] == json.loads(last)["mAP"]
    assert found["provenance"]["command"].startswith("pmm demo ")


def test_an_image_is_explained(installed: Installed, demo: str) -> None:
    [image, *_] = sorted((installed.empty / "data/synthetic/query").iterdir())
    said = installed.pmm("explain", "runs/demo", str(image), "--out", "look.html")
    assert "training identity" in said
    found = json.loads((installed.empty / "look.json").read_text())
    assert found["identities"]["identities"] == 6
    installed.pmm("explain", "runs/demo", "--pair", str(image), str(image), "--out", "pair")
    assert len(list((installed.empty / "pair").glob("*.png"))) == 2 * 4


def test_a_run_is_evaluated(installed: Installed, demo: str) -> None:
    result = json.loads(installed.pmm("eval", "--workdir", "runs/demo", "--json"))
    last = (installed.empty / "runs/demo/metrics.jsonl").read_text().splitlines()[-1]
    assert result["mAP"] == json.loads(last)["mAP"]


def test_embeddings_are_evaluated(installed: Installed) -> None:
    features = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    np.savez(installed.empty / "f.npz", features=features, ids=np.array([1, 1, 2, 2]))
    assert json.loads(installed.pmm("eval", "--embeddings", "f.npz", "--json"))["rank1"] == 1.0


def test_a_folder_of_ones_own_by_the_name_of_a_config(installed: Installed, demo: str) -> None:
    drawn = installed.empty / "data/synthetic"
    for image in drawn.glob("*/*_c*.jpg"):
        identity = image.name.split("_")[0]
        if int(identity) > 0:
            (installed.empty / "own" / identity).mkdir(parents=True, exist_ok=True)
            shutil.copy(image, installed.empty / "own" / identity / image.name)
    words = ["--config", "folder", "--data.root", "own", "--workdir", "runs/mine", *TINY]
    assert "Rank-1" in installed.pmm("train", *words)


def test_two_methods_side_by_side(installed: Installed, demo: str) -> None:
    words = ["--config", "demo", "--methods", "pmm", "none", "--seeds", "0", *TINY]
    table = installed.pmm("ablate", *words)
    assert "A-Hard-Mix (PMM)" in table
    assert "No mixing" in table
    assert (installed.empty / "runs/ablation/ablation.svg").is_file()
    runs = [f"runs/ablation/{folder}" for folder in ("pmm-seed0", "none-seed0")]
    assert "report: " in installed.pmm("report", *runs)
    page = (installed.empty / "runs/ablation/comparison.html").read_text()
    assert "Not shown" not in page
    assert "No differences" not in page


def test_the_page_of_a_comparison(installed: Installed, demo: str) -> None:
    pytest.importorskip("torch", reason="the baseline is PyTorch (requirements-torch.txt)")
    installed.pmm("compare", "--config", "demo", "--workdir", "runs/compare", *TINY)
    assert (installed.empty / "runs/compare/comparison.html").is_file()


def test_a_refusal_is_one_line(installed: Installed) -> None:
    done = installed.run(str(installed.site / "bin" / "pmm"), "train", "--config", "market151")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: --config market151: no such file; did you mean market1501"
    )
