import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.step_worker import TORCH, TUNED


@pytest.mark.slow
def test_the_toy_runs_every_row_of_ours(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    words = ["--toy", "--rounds", "2", "--json", str(path), "--skip", *TORCH, *TUNED]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *words],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(path.read_text())["steps"]
    assert [line.split("  ")[0] for line in done.stdout.splitlines()[1:]] == list(rows)
    assert len(rows) == 4
    assert all(0 < row["fastest"] <= row["seconds"] for row in rows.values())
    assert all(row["images_per_second"] == 64 / row["seconds"] for row in rows.values())
    assert all(row["peak_memory_bytes"] > 2**20 for row in rows.values())
