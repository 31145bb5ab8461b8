"""The command runs where only the program is installed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOR_DEVELOPERS = "requests, cryptography, boto3, flask, moto, redis, pulumi"


def test_a_runner_needs_the_programs_requirements_and_no_others() -> None:
    script = f"import sys, tools.sbom.__main__; print(*[m for m in '{FOR_DEVELOPERS}'.split(', ') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
