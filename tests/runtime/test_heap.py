"""The heap keeps what is freed, in huge pages where the kernel has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource
from pmm_jax.runtime import trim_heap, tune_malloc

assert tune_malloc()
faults, huge = [], []
for turn in range(4):
    if turn == 3:
        trim_heap()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = b"x" * (256 * 2**20)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    line = next(line for line in open("/proc/self/smaps_rollup") if "AnonHugePages" in line)
    huge.append(int(line.split()[1]) // 1024)
    del block
print(*faults, *huge)
"""
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
needs_huge_pages = pytest.mark.skipif(
    not SETTING.exists() or "[never]" in SETTING.read_text(),
    reason="the kernel gives no transparent huge pages",
)


def printed(project: Path, script: str) -> str:
    """What the script prints in a fresh process on the CPU."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.fixture(scope="module")
def found(project: Path) -> list[int]:
    """Page faults of four allocations of 256 MiB, the last after `trim_heap`, then each one's MiB
    in huge pages."""
    if not sys.platform.startswith("linux") or os.confstr("CS_GNU_LIBC_VERSION") is None:
        pytest.skip("tune_malloc changes nothing on systems without glibc")
    return [int(word) for word in printed(project, SCRIPT).split()]


def test_freed_memory_is_kept(found: list[int]) -> None:
    assert found[1] < 100
    assert found[2] < 100


@needs_huge_pages
def test_the_heap_lies_in_huge_pages(found: list[int]) -> None:
    assert found[4] >= 200
    assert found[0] < 5000  # small pages would take 65,536


@needs_huge_pages
def test_what_grows_after_trimming_lies_in_huge_pages(found: list[int]) -> None:
    assert found[7] >= 200
    assert found[3] < 5000


SLOW_PROGRAM = """
from pmm_jax.runtime import disable_async_dispatch

disable_async_dispatch()
import jax

product = jax.jit(lambda x: jax.lax.fori_loop(0, 200, lambda _, y: jax.numpy.tanh(y @ x), x))
matrix = jax.numpy.ones((256, 256))
jax.block_until_ready(product(matrix))
print(product(matrix).is_ready())
"""


def test_a_program_is_done_when_its_call_returns(project: Path) -> None:
    assert printed(project, SLOW_PROGRAM).strip() == "True"
