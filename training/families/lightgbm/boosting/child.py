"""The process that LightGBM runs in, started as a module with two arguments, GIVEN and RESULT.

They are numbers of open files (`training.families.lightgbm.boosting.exchange`). Standard output
takes the progress, a line of JSON each; standard error whatever LightGBM's library prints. The
process ends when its standard input does, which is when the one that started it is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Final

_NOT_NEEDED: Final = ("cffi", "dask", "graphviz", "matplotlib", "pandas", "pyarrow", "sklearn")
"""What LightGBM imports where it is installed, and here costs seconds for nothing."""


def main() -> None:
    """Fit what GIVEN holds and write what became of it to RESULT."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent too, which ends us.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The library prints to standard output; what it says there is no progress.
    progress_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in _NOT_NEEDED:
        sys.modules[name] = None  # type: ignore[assignment] # Python's way to refuse an import.
    from training.families.lightgbm.boosting.exchange import (
        read_given,
        write_boosted,
        write_refusal,
    )
    from training.families.lightgbm.boosting.rounds import FitRefusedError, boost

    def report(done: int, total: int) -> None:
        progress_to.write(f"{json.dumps([done, total])}\n")
        progress_to.flush()

    with os.fdopen(int(sys.argv[1]), "rb") as source:
        given = read_given(source)
    with os.fdopen(int(sys.argv[2]), "wb") as result:
        try:
            boosted = boost(
                given.parameters,
                given.rows,
                n_rounds=given.n_rounds,
                early_stopping_rounds=given.early_stopping_rounds,
                progress=report,
            )
        except FitRefusedError as refusal:
            write_refusal(result, refusal)
        else:
            write_boosted(result, boosted)


def _end_with_parent() -> None:
    os.read(0, 1)  # Not sys.stdin, whose lock would be held when Python ends.
    os._exit(1)


if __name__ == "__main__":
    main()
