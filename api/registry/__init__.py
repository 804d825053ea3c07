"""Which models and versions exist, and where their files are."""

from api.errors import ArtifactError, RegistrySchemaError, ServiceError

__all__ = ["ArtifactError", "RegistrySchemaError", "ServiceError"]
