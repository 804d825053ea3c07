"""What can go wrong, each kind with a stable machine-readable code.

::

    ServiceError
    ├── InvalidRequestError          the client can repair it
    │   ├── MalformedJsonError
    │   ├── InvalidInstancesError
    │   ├── InvalidTensorsError
    │   ├── BodyTooLargeError
    │   ├── BodyTimeoutError
    │   ├── UnsupportedMediaTypeError
    │   ├── FeatureNameCollisionError
    │   ├── MissingRequestDataError
    │   └── OverloadedError          too many requests are under way
    ├── NotFoundError
    │   ├── UnknownModelError
    │   ├── UnknownVersionError
    │   ├── UnknownAliasError
    │   ├── UnknownFeastNameError
    │   │   ├── UnknownFeatureViewError
    │   │   ├── UnknownFeatureError
    │   │   ├── UnknownFeatureServiceError
    │   │   └── UnknownPushSourceError
    │   ├── FeatureCatalogMissingError
    │   ├── UnknownRolloutError
    │   ├── UnknownPredictionError
    │   └── VersionRetiredError      it was there, and is served no more
    ├── AccessError                  who asks may not; see `zeroskew.contract.errors.access`
    ├── RegistryConflictError        the registry's present state does not allow the change
    │   └── RevisionConflictError    somebody else was faster
    ├── LabelConflictError           a key stands for another label
    ├── PredictionFailedError        what is asked about a prediction that has no scores
    ├── ChangesForbiddenError        the registry is not changed over HTTP here
    ├── UnavailableError             it may work later, without a change of the request
    │   ├── OnlineStoreUnavailableError
    │   ├── OnlineValueError
    │   ├── StaleFeatureError
    │   ├── DeadlineError            the answer took longer than a request may
    │   ├── RegistryUnavailableError
    │   ├── LogUnavailableError
    │   ├── FeedbackUnavailableError
    │   ├── PushUnavailableError     pushed rows cannot be put on disk
    │   ├── ArtifactStoreUnavailableError
    │   ├── FeatureCatalogRefusedError
    │   └── ModelRefusedError
    │       └── ModelMissingError    its files are not there, or not yet
    ├── NotSupportedError            the service as it is set up never does this
    ├── ScoreError                   the model gave a score that is not a number
    ├── ArtifactError                a stored file is too large or not what its name says
    │   └── ArtifactMissingError     it is not there, or cannot be read now
    └── RegistrySchemaError          the registry's tables are of another release

``str(error)`` is meant for the client: it names no path, no SQL and no library's text.
What only an operator should see stands in ``__cause__`` and goes to the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "ArtifactError",
    "ArtifactMissingError",
    "ArtifactStoreUnavailableError",
    "BodyTimeoutError",
    "BodyTooLargeError",
    "ChangesForbiddenError",
    "DeadlineError",
    "FeatureCatalogRefusedError",
    "FeatureNameCollisionError",
    "FeedbackUnavailableError",
    "FieldError",
    "InvalidInstancesError",
    "InvalidRequestError",
    "InvalidTensorsError",
    "LabelConflictError",
    "LogUnavailableError",
    "MalformedJsonError",
    "MissingRequestDataError",
    "ModelMissingError",
    "ModelRefusedError",
    "NotSupportedError",
    "OnlineStoreUnavailableError",
    "OnlineValueError",
    "OverloadedError",
    "PredictionFailedError",
    "PushUnavailableError",
    "RegistryConflictError",
    "RegistrySchemaError",
    "RegistryUnavailableError",
    "RevisionConflictError",
    "ScoreError",
    "ServiceError",
    "StaleFeatureError",
    "UnavailableError",
    "UnsupportedMediaTypeError",
]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused place of a request body; ``pointer`` is a JSON Pointer (RFC 6901)."""

    pointer: str
    got: str
    expected: str

    @property
    def message(self) -> str:
        """Return one sentence that says what came and what was expected."""
        return f"Got {self.got} at {self.pointer or 'the top'}, but expected {self.expected}."


class ServiceError(Exception):
    """The root of what the service itself raises; ``fields`` names the places it is about."""

    code: ClassVar[str] = "internal_error"
    fields: tuple[FieldError, ...] = ()


class InvalidRequestError(ServiceError):
    """The request cannot be answered as it is."""

    code = "invalid_request"

    def __init__(self, message: str, fields: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class MalformedJsonError(InvalidRequestError):
    """The body is not JSON."""

    code = "malformed_json"


class InvalidInstancesError(InvalidRequestError):
    """The body is JSON, but not what this model takes."""

    code = "invalid_instances"


class InvalidTensorsError(InvalidRequestError):
    """The body is no inference request of the Open Inference Protocol for this model."""

    code = "invalid_tensors"


class FeatureNameCollisionError(InvalidRequestError):
    """Two of the features that are asked for have one name."""

    code = "feature_name_collision"


class MissingRequestDataError(InvalidRequestError):
    """Features that are computed on demand need data of the request that is not there."""

    code = "missing_request_data"


class BodyTooLargeError(InvalidRequestError):
    """The body has more bytes than the service takes."""

    code = "body_too_large"


class BodyTimeoutError(InvalidRequestError):
    """The body did not arrive in time."""

    code = "body_timeout"


class UnsupportedMediaTypeError(InvalidRequestError):
    """The body is declared as something other than JSON in UTF-8."""

    code = "unsupported_media_type"


class OverloadedError(InvalidRequestError):
    """More requests are under way than the service answers at a time."""

    code = "too_many_requests"

    def __init__(self) -> None:
        super().__init__(
            "Got more requests than are answered at a time, but expected fewer; try again later."
        )


class RegistryConflictError(ServiceError):
    """What the registry holds at the moment does not allow the change."""

    code = "registry_conflict"


class RevisionConflictError(RegistryConflictError):
    """What was to be changed has changed since the caller looked."""

    code = "revision_conflict"


class LabelConflictError(ServiceError):
    """An idempotency key stands for another label already."""

    code = "label_conflict"


class PredictionFailedError(ServiceError):
    """The prediction failed, and has no scores."""

    code = "prediction_failed"


class ChangesForbiddenError(ServiceError):
    """The service is set up to let nobody change the registry over HTTP."""

    code = "changes_forbidden"


class UnavailableError(ServiceError):
    """Something the answer needs cannot be had at the moment."""

    code = "unavailable"


class OnlineStoreUnavailableError(UnavailableError):
    """The online store cannot be read."""

    code = "online_store_unavailable"


class OnlineValueError(UnavailableError):
    """The online store holds bytes that the model's plan does not expect."""

    code = "online_value_unexpected"


class StaleFeatureError(UnavailableError):
    """A stored value is not live, and its view's policy is to reject the instance then."""

    code = "feature_stale"

    def __init__(
        self, *, instance: int, feature: str, age_seconds: float, ttl_seconds: float | None
    ) -> None:
        self._instance = instance
        self._value = {"feature": feature, "age_seconds": age_seconds, "ttl_seconds": ttl_seconds}
        self.fields = (
            FieldError(
                pointer=f"/instances/{instance}",
                got=f"a value of feature {feature} that is {age_seconds:g} seconds old",
                expected="one that is not from the future"
                if ttl_seconds is None or age_seconds < 0
                else f"one of at most {ttl_seconds:g} seconds",
            ),
        )
        super().__init__(self.fields[0].message)

    def behind(self, n_instances: int) -> StaleFeatureError:
        """Return the error for an instance that stands behind so many others."""
        return StaleFeatureError(instance=n_instances + self._instance, **self._value)  # type: ignore[arg-type]  # as it came


class DeadlineError(UnavailableError):
    """The answer took longer than a request may take."""

    code = "deadline_exceeded"


class RegistryUnavailableError(UnavailableError):
    """The registry cannot be read."""

    code = "registry_unavailable"


class ArtifactStoreUnavailableError(UnavailableError):
    """The object store of model files does not answer."""

    code = "artifact_store_unavailable"


class LogUnavailableError(UnavailableError):
    """The prediction log cannot be written or read."""

    code = "log_unavailable"


class FeedbackUnavailableError(UnavailableError):
    """Labels cannot be stored or read."""

    code = "feedback_unavailable"


class PushUnavailableError(UnavailableError):
    """Pushed rows cannot be put on disk, so they are not taken."""

    code = "push_unavailable"


class ModelRefusedError(UnavailableError):
    """A registered model failed the load gate."""

    code = "model_refused"


class ModelMissingError(ModelRefusedError):
    """A registered model's files are not there, or not yet: nothing is known against it."""


class FeatureCatalogRefusedError(UnavailableError):
    """The published feature catalog is not one that the service understands."""

    code = "feature_catalog_refused"


class NotSupportedError(ServiceError):
    """The service, as it is set up, does not do what was asked."""

    code = "not_supported"


class ScoreError(ServiceError):
    """The model gave a score that is not a finite number."""

    code = "non_finite_score"


class ArtifactError(ServiceError):
    """A stored file is missing, too large, or not what its name says."""

    code = "artifact_invalid"


class ArtifactMissingError(ArtifactError):
    """A stored file is not there, or cannot be read now; it may be the next time."""


class RegistrySchemaError(ServiceError):
    """The registry's tables are of another release."""

    code = "registry_schema_unknown"
