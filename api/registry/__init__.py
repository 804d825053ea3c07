"""Which models and versions exist, and where their files are."""

from api.errors import ArtifactError, RegistrySchemaError, ServiceError, UnknownRolloutError

__all__ = ["ArtifactError", "RegistrySchemaError", "ServiceError", "UnknownRolloutError"]
