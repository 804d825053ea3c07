"""Models out of the database with all that is recorded about them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import CursorResult, Delete, delete, func, or_, update
from sqlmodel import Session, col, select

from zeroskew.records.database.open_database import open_database, writing
from zeroskew.records.labels.tables import StoredLabel
from zeroskew.records.prediction_log.tables import LoggedPrediction
from zeroskew.records.registry.tables import (
    FeatureCatalogVersion,
    Model,
    ModelAlias,
    ModelRollout,
    ModelVersion,
    RegistryChange,
    RegistryGeneration,
)

__all__ = ["Forgotten", "forget_models"]


@dataclass(frozen=True)
class Forgotten:
    """How many rows went."""

    n_versions: int
    n_predictions: int
    n_labels: int


def forget_models(
    url: str,
    models: Collection[str],
    *,
    project: str,
    discard: Callable[[frozenset[str]], None],
) -> Forgotten:
    """Delete models: versions, aliases, rollouts, history, predictions and their labels.

    Of the project's feature catalogs the newest alone stays. Services follow within a second.

    Parameters
    ----------
    url
        The database.
    models
        Names; one that is not there is no mistake.
    project
        Feast's project.
    discard
        Is given the sha256 of the files that nothing in the database will name any more, before
        that is so: who is broken off in it is given them again.

    Raises
    ------
    RegistrySchemaError
        If the tables are of another release.
    """
    engine = open_database(url)
    try:
        with Session(writing(engine)) as session:
            # First, as whoever changes anything: changes queue.
            session.execute(update(RegistryGeneration).values(value=RegistryGeneration.value + 1))
            before = _list_files(session)
            predictions = select(LoggedPrediction.id).where(col(LoggedPrediction.model).in_(models))
            labels = or_(
                col(StoredLabel.model).in_(models), col(StoredLabel.prediction_id).in_(predictions)
            )
            n_labels = _delete(session, delete(StoredLabel).where(labels))
            n_rows = {
                table: _delete(session, delete(table).where(col(name).in_(models)))
                for table, name in (
                    (LoggedPrediction, LoggedPrediction.model),
                    (ModelAlias, ModelAlias.model),
                    (ModelRollout, ModelRollout.model),
                    (RegistryChange, RegistryChange.model),
                    (ModelVersion, ModelVersion.model),
                    (Model, Model.name),
                )
            }
            _keep_newest_catalog(session, project)
            discard(frozenset(before - _list_files(session)))
            session.commit()
    finally:
        engine.dispose()
    return Forgotten(n_rows[ModelVersion], n_rows[LoggedPrediction], n_labels)


def _delete(session: Session, statement: Delete) -> int:
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def _list_files(session: Session) -> set[str]:
    versions = session.exec(select(ModelVersion.manifest_sha256, ModelVersion.model_sha256)).all()
    catalogs = session.exec(select(FeatureCatalogVersion.sha256)).all()
    return {*catalogs, *(sha256 for pair in versions for sha256 in pair)}


def _keep_newest_catalog(session: Session, project: str) -> None:
    ours = col(FeatureCatalogVersion.project) == project
    newest = session.exec(select(func.max(FeatureCatalogVersion.number)).where(ours)).one()
    older = col(FeatureCatalogVersion.number) < newest
    session.execute(delete(FeatureCatalogVersion).where(ours, older))
