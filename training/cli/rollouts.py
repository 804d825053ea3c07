"""Commands that judge rollouts and move them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.cli.options import AsOf, End, Models, Start, named_models, or_now, print_table, span
from training.cli.registry import read_rollout
from training.live.open_log import open_log
from training.project.progress import quiet
from training.project.user_name import user_name
from training.project.workspace import Workspace
from zeroskew.contract.errors.not_found import UnknownRolloutError

if TYPE_CHECKING:
    from training.live.logged_predictions import Span
    from training.live.open_log import LiveLog
    from training.live.rollouts.guard import Judgement

__all__ = ["bandit", "deal", "guard"]

_console = Console()
_MARKS = {"promote": "[green]✓ promote[/]", "hold": "  hold", "roll_back": "[red]✗ roll back[/]"}

Trial = Annotated[bool, typer.Option("--trial", help="Say what would be done, and do nothing.")]


def guard(models: Models = None, as_of: AsOf = None, trial: Trial = False) -> None:
    """Judge rollouts once by their limits: promote, hold or roll back, and write why.

    Run it as a job. What it does stands in `zeroskew history`.
    """
    from training.live.rollouts.rollout_jobs import guard_rollout

    moment = or_now(as_of)
    with open_log() as log:
        for model in named_models(log.registry, models):
            try:
                judgements = guard_rollout(
                    log,
                    model,
                    moment,
                    actor=user_name(),
                    skew_rate=partial(_skew_rate, log, model),
                    is_trial=trial,
                )
            except UnknownRolloutError:
                _console.print(f"{model}: no rollout", highlight=False)
                continue
            for judgement in judgements:
                _print_judgement(model, judgement)


def bandit(models: Models = None, as_of: AsOf = None, trial: Trial = False) -> None:
    """Move the weights of bandits by what the labels of their arms say."""
    from training.live.rollouts.rollout_jobs import move_bandit

    moment = or_now(as_of)
    with open_log() as log:
        for model in named_models(log.registry, models):
            try:
                before, n_labels, after = move_bandit(
                    log, model, moment, actor=user_name(), is_trial=trial
                )
            except UnknownRolloutError:
                _console.print(f"{model}: no rollout", highlight=False)
                continue
            table = Table("arm", "labels", "weight", "new weight", title=model)
            arms = before.arms if after is None else after.arms
            for old, new in zip(before.arms, arms, strict=True):
                table.add_row(
                    old.name, f"{n_labels[old.name]:,}", f"{old.weight:.4f}", f"{new.weight:.4f}"
                )
            print_table(table)


def deal(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    file: Annotated[Path, typer.Argument(help="A rollout as JSON.")],
    start: Start = None,
    end: End = None,
) -> None:
    """Show what share of the logged keys a rollout would give to each arm; nothing is changed."""
    from training.live.rollouts.dry_run import deal_logged

    with open_log() as log:
        rollout = read_rollout(file, model, log.registry)
        try:
            standing = log.registry.get_rollout(model).rollout
        except UnknownRolloutError:
            standing = None
        dealt = deal_logged(log, model, rollout, standing, span(start, end))
    n_keys, n_rows = sum(dealt.n_keys.values()), sum(dealt.n_rows.values())
    table = Table("arm", "weight", "keys", "share", "instances", "share", title=model)
    for arm in rollout.arms:
        keys, rows = dealt.n_keys[arm.name], dealt.n_rows[arm.name]
        table.add_row(
            *(arm.name, f"{arm.weight:.4f}", f"{keys:,}", f"{keys / max(1, n_keys):.2%}"),
            *(f"{rows:,}", f"{rows / max(1, n_rows):.2%}"),
        )
    print_table(table)
    _console.print(f"  {dealt.n_moved:,} of {n_keys:,} keys would change sides", highlight=False)


def _print_judgement(model: str, judgement: Judgement) -> None:
    _console.print(
        f"{_MARKS[judgement.decision]} {model} {judgement.name} (look {judgement.look}): "
        f"{judgement.reason}",
        highlight=False,
        soft_wrap=True,
    )


def _skew_rate(log: LiveLog, model: str, span: Span) -> float:
    from training.live.skew.find_skew import FAULTS, find_skew

    with quiet():
        store = Workspace().open_feature_store()
    report = find_skew(log, store, model, span, lambda _done, _total: None)
    return report.share(*FAULTS)
