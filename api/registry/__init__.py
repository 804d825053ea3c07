"""Which models and versions exist, and where their files are."""

from api.errors import (
    ArtifactError,
    ModelRefusedError,
    RegistrySchemaError,
    ServiceError,
    UnknownModelError,
    UnknownRolloutError,
)

__all__ = [
    "ArtifactError",
    "ModelRefusedError",
    "RegistrySchemaError",
    "ServiceError",
    "UnknownModelError",
    "UnknownRolloutError",
]
