"""Run LightGBM in a process of its own, so that its end is a sentence and not the command's end.

Some combinations of parameters and rows end the whole process inside LightGBM, by a signal or
an abort, without an exception. Starting one costs 0.8 s of processor time, numpy and LightGBM
alone being imported there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Final

from training.families.lightgbm.boosting.exchange import BoostingInput, read_result, write_given
from training.families.lightgbm.boosting.rounds import Boosted
from training.families.progress import Progress
from zeroskew.contract.errors.project import FitError

__all__ = ["boost_in_process"]

_MOST_WORDS: Final = 100
_ROOT: Final = Path(__file__).parents[4]


def boost_in_process(
    given: BoostingInput, *, model: str, progress: Progress | None = None
) -> Boosted:
    """Return what `boost` does (`training.families.lightgbm.boosting.rounds`), in its own process.

    Neither a kill of this process nor Ctrl-C leaves that one behind, nor its files.

    Raises
    ------
    FitRefusedError
        As `boost` does.
    FitError
        If the process ends otherwise, naming ``model``, how it ended and its last words.
    """
    # Files without a name: nothing stays on disk, whatever ends.
    with (
        tempfile.TemporaryFile() as source,
        tempfile.TemporaryFile() as result,
        tempfile.TemporaryFile() as words,
    ):
        write_given(source, given)
        source.seek(0)
        status = _run(source, result, words, progress)
        result.seek(0)
        boosted = read_result(result) if status == 0 else None
        if boosted is None:
            raise FitError(_describe_end(status, model, _last_words(words)))
        return boosted


def _run(source: IO[bytes], result: IO[bytes], words: IO[bytes], progress: Progress | None) -> int:
    """Run the child to its end and return its status, negative for a signal."""
    files = (source.fileno(), result.fileno())
    # Not the working folder, in which a user's own `training` may lie, but this one.
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    with subprocess.Popen(  # noqa: S603 - this Python
        [sys.executable, "-P", "-m", "training.families.lightgbm.boosting.child", *map(str, files)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        pass_fds=files,
        # Threads that wait for each other do not spin, or two fits side by side would crawl.
        env={"OMP_WAIT_POLICY": "passive"} | os.environ | {"PYTHONPATH": path},
    ) as child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if progress is not None:
                    progress(*json.loads(line))
        except BaseException:
            child.kill()
            raise
        return child.wait()


def _describe_end(status: int, model: str, last_words: str) -> str:
    if status < 0:
        ended = f"signal {-status} ({signal.strsignal(-status) or 'unknown'})"
    else:
        ended = f"status {status}"
    why = "; is there memory enough?" if status == -signal.SIGKILL else ""
    said = f"; last words: {last_words}" if last_words else ""
    return f"LightGBM ended with {ended} while fitting {model}{why}{said}"


def _last_words(words: IO[bytes]) -> str:
    """Return the last line that was written, cut where it is long."""
    words.seek(0, os.SEEK_END)
    words.seek(max(0, words.tell() - 4096))
    lines = words.read().decode(errors="replace").split("\n")
    line = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return line if len(line) <= _MOST_WORDS else f"{line[: _MOST_WORDS - 1]}…"
