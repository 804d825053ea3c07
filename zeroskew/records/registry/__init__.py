"""Which models and versions exist, and where their files are."""

from zeroskew.contract.errors.not_found import UnknownModelError, UnknownRolloutError
from zeroskew.contract.errors.service import (
    ArtifactError,
    ModelRefusedError,
    RegistrySchemaError,
    ServiceError,
)

__all__ = [
    "ArtifactError",
    "ModelRefusedError",
    "RegistrySchemaError",
    "ServiceError",
    "UnknownModelError",
    "UnknownRolloutError",
]
