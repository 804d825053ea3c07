"""What a client asks for that is not there; `zeroskew.contract.errors.service` draws the tree."""

from __future__ import annotations

from zeroskew.contract.errors.service import FieldError, ServiceError

__all__ = [
    "FeatureCatalogMissingError",
    "NotFoundError",
    "UnknownAliasError",
    "UnknownFeastNameError",
    "UnknownFeatureError",
    "UnknownFeatureServiceError",
    "UnknownFeatureViewError",
    "UnknownModelError",
    "UnknownPredictionError",
    "UnknownPushSourceError",
    "UnknownRolloutError",
    "UnknownVersionError",
    "VersionRetiredError",
]


class NotFoundError(ServiceError):
    """What the address names does not exist."""

    code = "not_found"


class UnknownModelError(NotFoundError):
    """No model of that name is registered."""

    code = "unknown_model"


class UnknownVersionError(NotFoundError):
    """The model has no such version."""

    code = "unknown_version"


class UnknownAliasError(NotFoundError):
    """The model has no such alias."""

    code = "unknown_alias"


class UnknownFeastNameError(NotFoundError):
    """A request's body names something that the project in the feature catalog does not have."""

    def __init__(self, field: FieldError, sentence: str = "") -> None:
        # What Feast's server says stands first: its clients look for it.
        super().__init__(f"{sentence}. {field.message}" if sentence else field.message)
        self.fields = (field,)


class UnknownFeatureViewError(UnknownFeastNameError):
    """No view of that name is online."""

    code = "unknown_feature_view"


class UnknownFeatureError(UnknownFeastNameError):
    """The view has no such feature."""

    code = "unknown_feature"


class UnknownFeatureServiceError(UnknownFeastNameError):
    """There is no feature service of that name."""

    code = "unknown_feature_service"


class UnknownPushSourceError(UnknownFeastNameError):
    """No view is fed by a push source of that name."""

    code = "unknown_push_source"


class FeatureCatalogMissingError(NotFoundError):
    """No feature catalog is published that the service could answer from."""

    code = "feature_catalog_missing"


class UnknownRolloutError(NotFoundError):
    """The model has no rollout: its champion answers."""

    code = "unknown_rollout"


class VersionRetiredError(NotFoundError):
    """The version is retired, and answers no more."""

    code = "version_retired"


class UnknownPredictionError(NotFoundError):
    """No prediction with that id is in the log."""

    code = "unknown_prediction"
