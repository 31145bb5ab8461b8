"""Runs the runtime's tests with every Celery that it supports: `python -m tools.celery_versions [-- PYTEST...]`.

Supported is what `images/runtime/pyproject.toml` declares, and tested is what pip's index has of it: the newest release
of each minor version, and the newest pre-release if it is newer than those. About 4 minutes for each.
Exit status: 0 all passed, 1 one did not or could not be tried, 2 the command line is wrong, 130 interrupted.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from packaging.version import Version

from common.errors import CommandError
from common.exit_status import FAILED, as_exit_status
from common.paths import as_typed, this_checkout
from common.progress import Progress
from common.tail import tail
from tools.celery_versions.choice import Ranges, combinations, declared_ranges, listed
from tools.celery_versions.trial import Outcome, Trials, failures

RUNTIME = Path("images/runtime/pyproject.toml")


def available(name: str) -> list[Version]:
    """Return the versions of a package that pip's index has.

    Raises:
        CommandError: pip could not ask it.
    """
    command = [sys.executable, "-m", "pip", "index", "versions", name, "--pre", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(f"pip could not list the versions of {name}:\n{tail(done.stderr, 5, indent='  ')}")
    return listed(done.stdout)


def exit_status(outcomes: Iterable[Outcome], *, pre_may_fail: bool) -> int:
    """Return 1 if a release did not pass, or a pre-release that may not fail."""
    counted = [one for one in outcomes if not (pre_may_fail and one.combination.is_prerelease)]
    return 0 if all(one.status == "passed" for one in counted) else FAILED


def _try_all(ranges: Ranges, trials: Trials) -> list[Outcome]:
    progress = trials.progress
    with progress.step(f"asking pip's index for {', '.join(ranges)}"):
        chosen = combinations(ranges, {name: available(name) for name in ranges})
    progress.say(f"      {len(chosen)} to test, about 4 min each: {'; '.join(map(str, chosen))}")
    outcomes = []
    for combination in chosen:
        outcome = trials.run(combination)
        print(f"  {outcome}", flush=True)
        if outcome.status != "passed":
            print(f"{failures(outcome.log)}\n      All of it: {as_typed(outcome.log)}", flush=True)
        outcomes.append(outcome)
    if not any(combination.is_prerelease for combination in chosen):
        print("  The index has no pre-release newer than the newest releases.", flush=True)
    return outcomes


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.celery_versions",
        description="Run the runtime's tests with every Celery that it supports, about 4 min each.",
    )
    parser.add_argument("--pre-may-fail", action="store_true", help="a pre-release that fails is only reported")
    parser.add_argument("pytest", nargs="*", help="more arguments of pytest, after --, for instance -- -k priorities")
    options = parser.parse_args()
    began, checkout = time.monotonic(), this_checkout()
    with as_exit_status(interrupted="Interrupted; what was tested so far is above."):
        if shutil.which("redis-server") is None:
            raise CommandError("redis-server is not on PATH, so every test would be skipped. Install Redis.")
        ranges = declared_ranges(checkout.checkout / RUNTIME)
        outcomes = _try_all(ranges, Trials(checkout, Progress(), options.pytest))
    print(f"  {time.monotonic() - began:.0f} s in all")
    return exit_status(outcomes, pre_may_fail=options.pre_may_fail)


if __name__ == "__main__":
    sys.exit(main())
