"""What has to hold of this project, whatever is changed in it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_nothing_is_amiss() -> None:
    command = [Path(sys.executable).with_name("zeroskew"), "check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    # The port is this machine's business.
    amiss = [
        line for line in done.stdout.splitlines() if "✗" in line and "ZEROSKEW_PORT" not in line
    ]
    assert not amiss, amiss
