"""Tell what long work is doing: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Reporter", "Task", "quiet"]

SECONDS_BETWEEN_LINES: Final = 10.0


class Task:
    """One piece of work under way; call it with what is done and how much there is.

    Calls are cheap and may come at any rate.
    """

    def __init__(self, name: str, console: Console, bar: Progress | None) -> None:
        self._name = name
        self._console = console
        self._bar = bar
        self._bar_id = bar.add_task(name, total=None) if bar else None
        self._started = self._printed = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` is finished."""
        if self._bar is not None and self._bar_id is not None:
            self._bar.update(self._bar_id, completed=done, total=total)
            return
        now = time.monotonic()
        if now - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = now
            self._console.print(f"  {self._name}: {done:,} of {total:,}")

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._started


class Reporter:
    """Where commands report their progress."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def task(self, name: str) -> Iterator[Task]:
        """Report ``name`` as begun, give a `Task`, and print how long it took."""
        if self.console.is_terminal:
            with Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            ) as bar:
                task = Task(name, self.console, bar)
                yield task
        else:
            self.console.print(f"{name} …")
            task = Task(name, self.console, None)
            yield task
        self.console.print(f"[green]✓[/] {name} ({task.seconds:.1f} s)")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Feast's own printing off the console."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield
