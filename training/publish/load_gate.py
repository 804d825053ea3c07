"""Ask the service's own loader whether it takes a model, before anybody is sent to it."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from zeroskew.contract.errors.project import GateError, SpecError
from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.contract.manifest import Manifest
from zeroskew.contract.settings import Settings
from zeroskew.model.load_gate import ActiveModel, load_model
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.registered_version import RegisteredVersion

__all__ = ["check_service_takes"]


class _ServiceBounds(BaseSettings):
    """Those of the service's settings by which it may refuse a model, as they are here."""

    model_config = SettingsConfigDict(env_prefix="ZEROSKEW_", extra="ignore")

    max_instances: PositiveInt = Settings.model_fields["max_instances"].default
    max_text_length: PositiveInt = Settings.model_fields["max_text_length"].default
    max_model_bytes: PositiveInt = Settings.model_fields["max_model_bytes"].default


def check_service_takes(manifest: Manifest, model_file: bytes) -> None:
    """Load a model as the service does, and have it answer what it is published with.

    The load gate replays every golden row and parses the example as a request. Then the example
    is scored, as for entities of which nothing is stored.

    Raises
    ------
    GateError
        If the service would refuse the model, or could not answer.
    """
    try:
        loaded = _load(manifest, model_file)
    except ModelRefusedError as error:
        reason = str(error).removeprefix(f"Model {manifest.model} version 1: ")
        raise GateError(f"{manifest.model}: the service would not load it: {reason}") from error
    golden = [np.frombuffer(bytes.fromhex(row.scores), "<f8") for row in manifest.golden_rows]
    if not np.isfinite(np.concatenate([*golden, _score_example(loaded)])).all():
        raise GateError(
            f"{manifest.model}: Got a score that is not finite for a golden row or the example, "
            "but expected one that the service can answer with."
        )


def _load(manifest: Manifest, model_file: bytes) -> ActiveModel:
    try:
        bounds = _ServiceBounds()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SpecError(
            f"Got ZEROSKEW_{str(first['loc'][0]).upper()}={first['input']}, "
            "but expected a whole number above 0"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        artifacts = ArtifactStore(Path(folder), max_bytes=bounds.max_model_bytes)
        # Neither file is where a service would look before it is found to be good.
        registered = RegisteredVersion(
            model=manifest.model,
            version=1,
            manifest_sha256=artifacts.put(manifest.model_dump_json().encode()),
            model_sha256=artifacts.put(model_file),
            created_at=datetime.now(UTC),
            created_by="",
            reason="",
        )
        limits = InstanceLimits(bounds.max_instances, bounds.max_text_length)
        return load_model(registered, artifacts, limits)


def _score_example(loaded: ActiveModel) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    body = json.dumps({"instances": [dict(loaded.manifest.example)]}).encode()
    instances = loaded.schema.parse(body)
    loaded.plan.serialize_keys(instances.rows)
    features = loaded.plan.assemble_defaults(instances.rows, 0, instances.overrides)
    return loaded.session.run(features.values, features.request).ravel()
