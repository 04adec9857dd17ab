"""Tries every mutant: python -m tests.mutants [WORD ...].

Each is tried in a copy of the checkout: first the tests that should catch it, then, if they pass,
the whole quick suite. A test that fails counts only if it passes without the change. Results go to
a file, and what it holds of this commit isn't tried again.
"""

import argparse
import hashlib
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

from tests.mutants.changes import MUTANTS
from tests.mutants.checkout import ROOT, Tree, git
from tests.mutants.mutant import Mutant
from tests.mutants.outcomes import Result, Results, Verdict

LIMIT = 900.0
"""Seconds for the tests that should catch a mutant: several times what the slowest take."""
SUITE_LIMIT = 3600.0
"""Seconds for the whole quick suite."""
SUITE = ["tests", "--ignore=tests/mutants"]
"""Without the test that every mutant still applies, which a mutant fails."""
PAST = "past the limit"
FOLDER = ROOT / "runs" / "mutants"


def main() -> None:
    """Try what the command line names, and print a table; exit code 1 where one isn't caught."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help="parts of names or files; all by default")
    parser.add_argument("--workers", type=int, default=1, help="mutants tried at once")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for results; %(default)s")
    parser.add_argument("--again", action="store_true", help="also what was tried before")
    parser.add_argument("--trust", action="store_true", help="not what any commit has caught")
    parser.add_argument("--named", action="store_true", help="only the tests that should catch it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    words = options.words or [""]
    chosen = [m for m in MUTANTS if any(word in f"{m.file} {m.name}" for word in words)]
    folder: Path = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    results, commit = Results(folder / "results.jsonl"), state()

    def known(mutant: Mutant) -> Result | None:
        trusted = results.caught(mutant.name) if options.trust else None
        return results.of(commit, mutant.name) or trusted

    left = [m for m in chosen if options.again or not known(m)]
    stages = [LIMIT] if options.named else [LIMIT, SUITE_LIMIT]
    if left:
        try_all(left, results, commit, options.workers, stages, folder / "compiled")
    sys.exit(not print_table(chosen, known, commit))


def state() -> str:
    """The commit; with a hash of what isn't committed."""
    commit = git("rev-parse", "--short", "HEAD").strip()
    changes = git("diff", "HEAD", "--", "pmm_jax", "tests")
    return f"{commit}+{hashlib.sha256(changes.encode()).hexdigest()[:6]}" if changes else commit


def try_all(
    mutants: Sequence[Mutant],
    results: Results,
    commit: str,
    workers: int,
    limits: Sequence[float],
    compiled: Path,
) -> None:
    """Try mutants in as many copies as there are workers.

    Args:
        mutants: to try.
        results: take what comes of each.
        commit: that the copies are of.
        workers: copies.
        limits: seconds for a mutant's own tests, and for the whole suite where it is run.
        compiled: cache of compiled programs.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        waiting: SimpleQueue[tuple[int, Mutant]] = SimpleQueue()
        for numbered in enumerate(mutants, 1):
            waiting.put(numbered)

        trees = [Tree(Path(folder) / str(i), compiled) for i in range(workers)]

        def work(tree: Tree) -> None:
            while True:
                try:
                    number, mutant = waiting.get_nowait()
                except Empty:
                    return
                result = judge(tree, mutant, results, commit, limits)
                if result.verdict != "survived" or len(limits) > 1:
                    results.add(result)
                print(f"{number}/{len(mutants)} {row(mutant, result)}", flush=True)

        with ThreadPoolExecutor(workers) as pool:
            try:
                for done in [pool.submit(work, tree) for tree in trees]:
                    done.result()
            finally:
                # Ahead of the pool's own end, which waits for threads that wait for these.
                for tree in trees:
                    tree.close()


def judge(
    tree: Tree, mutant: Mutant, results: Results, commit: str, limits: Sequence[float]
) -> Result:
    """Run the tests on a mutant until one fails."""
    seconds = 0.0
    with tree.changed(mutant):
        for tests, limit in zip((list(mutant.tests), SUITE), limits, strict=False):
            answer = tree.pytest(tests, limit)
            seconds += answer["seconds"]
            if answer["code"] != 0:
                break
    if answer["code"] == 0:
        return Result(commit, mutant.name, "survived", "", seconds)
    # pytest itself may have failed, or crashed, before any test did.
    tests = [answer["failed"]] if answer["failed"] else tests
    by: str = answer["failed"] or (
        PAST if answer["code"] is None else f"exit code {answer['code']}"
    )
    verdict: Verdict = "caught" if passes(tree, tests, results, commit) else "broken"
    return Result(commit, mutant.name, verdict, by, seconds)


def passes(tree: Tree, tests: Sequence[str], results: Results, commit: str) -> bool:
    """Whether tests pass without any change."""
    name = " ".join(tests)
    known = results.of(commit, name)
    if known is None:
        answer = tree.pytest(list(tests), SUITE_LIMIT)
        verdict: Verdict = "survived" if answer["code"] == 0 else "broken"
        known = Result(commit, name, verdict, "", answer["seconds"])
        results.add(known)
    return known.verdict == "survived"


def row(mutant: Mutant, result: Result) -> str:
    """A mutant's row of the table."""
    verdict = result.by if result.verdict == "caught" else f"{result.verdict.upper()} {result.by}"
    return f"{mutant.name:<28} {result.seconds:6.1f} s  {verdict}"


def print_table(
    mutants: Sequence[Mutant], known: Callable[[Mutant], Result | None], commit: str
) -> bool:
    """Every mutant's row, and how many were caught; whether all were."""
    found = [(mutant, known(mutant)) for mutant in mutants]
    for mutant, result in found:
        if result:
            print(row(mutant, result))
    escaped = [mutant for mutant, result in found if not result or result.verdict != "caught"]
    print(f"{len(found) - len(escaped)} of {len(found)} caught at {commit}")
    for mutant in escaped:
        print(f"not caught: {mutant.name}: {mutant.old!r} -> {mutant.new!r}: {mutant.effect}")
    return not escaped


if __name__ == "__main__":
    main()
