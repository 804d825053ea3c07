"""Measuring servers under load: at full load, and at a fixed rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from benchmarks.load_tools import FullLoad, flood, run_wrk
from benchmarks.sides.fastapi_sdk import UsualSdk
from benchmarks.sides.side import Side

__all__ = ["CONNECTIONS", "Durations", "HttpMeasures", "find_measure"]

CONNECTIONS: Final = (1, 8, 64)
N_ROWS: Final = (1, 10, 100)


@dataclass(frozen=True)
class Durations:
    """How long and how often everything is measured."""

    is_quick: bool

    @property
    def repeats(self) -> int:
        """How many rounds; every round measures every side once."""
        return 1 if self.is_quick else 3

    @property
    def full_load_sec(self) -> int:
        """One measurement with wrk."""
        return 1 if self.is_quick else 2

    @property
    def fixed_rate_sec(self) -> int:
        """One measurement at a fixed rate."""
        return 3 if self.is_quick else 10


class HttpMeasures:
    """Takes the measurements.

    Parameters
    ----------
    wrk
        The load tool for full load.
    durations
        How long and how often.
    say
        Is told what is being done.
    """

    def __init__(self, wrk: str, durations: Durations, say: Callable[[str], None]) -> None:
        self._wrk = wrk
        self._durations = durations
        self._say = say

    def choose_ways(self, sides: Sequence[Side]) -> dict[str, dict[str, float]]:
        """Let each SDK application take its fastest way; return what each way reached."""
        ways = {}
        for side in sides:
            if isinstance(side, UsualSdk):
                ways[side.label] = side.choose_way(self._wrk, self._durations.full_load_sec)
                self._say(f"{side.label} takes {side.way!r}: {ways[side.label]}")
        return ways

    def measure_full_load(self, sides: Sequence[Side]) -> list[dict[str, Any]]:
        """Check every side, then load all of them in turn, round after round.

        Returns
        -------
        measures
            For each side, number of rows, and number of connections what was seen, each
            figure a list with one entry a round; ``errors`` is how many requests failed.
        """
        cells = {
            (side, n_rows, connections): _new_measure(side, n_rows, connections)
            for n_rows in N_ROWS
            for connections in CONNECTIONS
            for side in sides
        }
        for side in sides:
            self._warm_up(side, N_ROWS)
        for round_number in range(self._durations.repeats):
            last = None
            for (side, n_rows, connections), cell in cells.items():
                if last != (last := (n_rows, connections)):
                    self._say(f"round {round_number + 1}: {n_rows} rows, {connections} connections")
                self._load(side, n_rows, connections, cell)
        for (side, _, _), cell in cells.items():
            cell["resident_mb"] = _resident_mb(side)
        return list(cells.values())

    def measure_one_row(self, sides: Sequence[Side]) -> list[dict[str, Any]]:
        """Load the sides in turn with requests of one row over 8 connections."""
        cells = [_new_measure(side, 1, 8) for side in sides]
        for side in sides:
            self._warm_up(side, (1,))
        for round_number in range(self._durations.repeats):
            self._say(f"round {round_number + 1} of {', '.join(side.label for side in sides)}")
            for side, cell in zip(sides, cells, strict=True):
                self._load(side, 1, 8, cell)
        for side, cell in zip(sides, cells, strict=True):
            cell["resident_mb"] = _resident_mb(side)
        return cells

    def measure_fixed_rate(
        self, sides: Sequence[Side], full_load: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Ask each side at half of its own peak, one row a request.

        The empty endpoint is asked at the rate of the fastest: its latencies are what the
        tool, the kernel and the framework add.
        """
        peaks = {
            side: max(
                median(find_measure(full_load, side.label, 1, n)["per_sec"]) for n in CONNECTIONS
            )
            for side in sides
        }
        fastest = max((peaks[side] for side in sides if side.store != "none"), default=2.0)
        measures = []
        for side in sides:
            own = peaks[side] if side.store != "none" else fastest
            measures.append(self.measure_at(side, int(own / 2)) | {"peak": peaks[side]})
        return measures

    def measure_at(self, side: Side, per_sec: int) -> dict[str, Any]:
        """Ask a side at a rate, one row a request."""
        self._warm_up(side, (1,))
        self._say(f"{per_sec} requests a second to {side.label}")
        seen = [self._ask_at(side, per_sec) for _ in range(self._durations.repeats)]
        return {"label": side.label, "rate": per_sec, "peak": 2.0 * per_sec, "seen": seen}

    def _warm_up(self, side: Side, sizes: Sequence[int]) -> None:
        """Check a side's answers and load it for a moment that is not counted."""
        for n_rows in sizes:
            self._say(f"checking {side.label}, {n_rows} rows")
            side.check(n_rows)
            self._load(side, n_rows, 8)

    def _ask_at(self, side: Side, per_sec: int) -> dict[str, Any]:
        seen = flood(
            side.base, side.lines(1), per_sec=per_sec, duration_sec=self._durations.fixed_rate_sec
        )
        assert side.server is not None
        side.server.wait_until_idle()
        answered = seen.answers(200)
        return asdict(answered) | {"failed": seen.asked - answered.count}

    def _load(
        self, side: Side, n_rows: int, connections: int, cell: dict[str, Any] | None = None
    ) -> FullLoad:
        assert side.server is not None
        before = side.server.cpu_sec()
        load = run_wrk(
            self._wrk,
            side.base,
            side.lines(n_rows),
            connections=connections,
            duration_sec=self._durations.full_load_sec,
        )
        used_sec = side.server.cpu_sec() - before
        # Else the next side would share the core with requests that wrk gave up.
        side.server.wait_until_idle()
        if cell is not None:
            cell["errors"] += load.errors
            cell["cpu_us"].append(used_sec / max(1, load.requests) * 1e6)
            for name in ("per_sec", "p50_ms", "p99_ms"):
                cell[name].append(getattr(load, name))
        return load


def find_measure(
    measures: Sequence[dict[str, Any]], label: str, n_rows: int, connections: int
) -> dict[str, Any]:
    """Return the measure of a side with that label.

    Raises
    ------
    KeyError
        If it was not measured.
    """
    for measure in measures:
        if (measure["label"], measure["n_rows"], measure["connections"]) == (
            label,
            n_rows,
            connections,
        ):
            return measure
    raise KeyError(label)


def _resident_mb(side: Side) -> float:
    assert side.server is not None
    return side.server.resident_mb()


def _new_measure(side: Side, n_rows: int, connections: int) -> dict[str, Any]:
    figures: dict[str, Any] = {name: [] for name in ("per_sec", "p50_ms", "p99_ms", "cpu_us")}
    return {
        "label": side.label,
        "store": side.store,
        "n_rows": n_rows,
        "connections": connections,
        "errors": 0,
        **figures,
    }
