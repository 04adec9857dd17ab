"""Disturb the program in every way that users will, and count what is lost and what is wrong.

python -m tests.chaos [--seed N] [--only WORDS] [--few] [--jobs N] [--keep]
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos import company, damage, disks, stops
from tests.chaos.faults import Fault
from tests.chaos.lab import Lab, Skip, Trial

FAULTS: list[Fault] = [*stops.FAULTS, *disks.FAULTS, *damage.FAULTS, *company.FAULTS]


def attempt(lab: Lab, fault: Fault, number: int, times: int, keep: bool = False) -> Trial:
    """One trial; its folder goes when it found nothing."""
    trial = Trial(lab, fault.name, number, times)
    try:
        fault.attempt(trial)
    except Skip:
        raise
    # Whatever else a trial trips over must not hide what the other trials find.
    except Exception as error:
        trial.wrong.append(f"the trial itself failed: {error!r}"[:300])
    finally:
        if not keep:
            shutil.rmtree(trial.folder, ignore_errors=True)
    return trial


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unmounts and removes, as Ctrl-C does
    root = Path(tempfile.mkdtemp(prefix="chaos-"))
    began, bad = time.monotonic(), 0
    try:
        lab = Lab(root, options.seed)
        print(f"{'fault':<48} {'times':>6} {'lost':>6} {'wrong':>6}", flush=True)
        for fault in FAULTS:
            times = fault.few if options.few else fault.times
            if times and any(words in fault.name for words in options.only):
                bad += _row(lab, fault, times, options)
        print(f"seed {options.seed}, {time.monotonic() - began:.0f} s, {bad} of them bad")
    finally:
        if options.keep:
            print(f"kept in {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)
    sys.exit(bad > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=0, help="which moments, sizes and bits")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="faults with such words in their name"
    )
    parser.add_argument("--few", action="store_true", help="as few as the slow tests do")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time")
    parser.add_argument("--keep", action="store_true", help="leave the folders of all trials")
    return parser.parse_args()


def _attempt_all(lab: Lab, fault: Fault, times: int, options: argparse.Namespace) -> list[Trial]:
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            return list(
                pool.map(lambda n: attempt(lab, fault, n, times, options.keep), range(times))
            )
        except BaseException:
            # The trials that have begun end by themselves, and unmount their disks.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _row(lab: Lab, fault: Fault, times: int, options: argparse.Namespace) -> int:
    """A line of the table, with one for each trial that found something below it."""
    try:
        trials = _attempt_all(lab, fault, times, options)
    except Skip as reason:
        print(f"{fault.name:<48} skipped: {reason}", flush=True)
        return 0
    lost, wrong = (
        sum(bool(found) for found in column)
        for column in ([t.lost for t in trials], [t.wrong for t in trials])
    )
    print(f"{fault.name:<48} {times:>6} {lost:>6} {wrong:>6}")
    for trial in trials:
        for kind, found in (("lost", trial.lost), ("wrong", trial.wrong)):
            for text in found:
                print(f"    {trial.number} {trial.about}: {kind}: {text}")
    sys.stdout.flush()
    return lost + wrong


if __name__ == "__main__":
    main()
