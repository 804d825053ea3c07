"""Asks a Zeroskew service for predictions, blocking or with asyncio.

>>> client = ZeroskewClient("http://127.0.0.1:8000")
>>> client.close()
"""

from zeroskew_client.async_client import AsyncZeroskewClient
from zeroskew_client.client import ZeroskewClient
from zeroskew_client.errors import (
    ConnectionFailedError,
    FieldProblem,
    InvalidInputError,
    ProblemError,
    RequestTimeoutError,
    RetriesExhaustedError,
    UnexpectedAnswerError,
    ZeroskewError,
)
from zeroskew_client.labels import Label
from zeroskew_client.results import (
    ClassPrediction,
    FeatureDetail,
    LabelOutcome,
    ManyPredictions,
    ModelDetail,
    Prediction,
    PredictionBatch,
    ProbabilityPrediction,
    RegisteredVersion,
    ValuePrediction,
    VersionDetail,
)
from zeroskew_client.retries import RetryPolicy
from zeroskew_client.version import __version__

__all__ = [
    "AsyncZeroskewClient",
    "ClassPrediction",
    "ConnectionFailedError",
    "FeatureDetail",
    "FieldProblem",
    "InvalidInputError",
    "Label",
    "LabelOutcome",
    "ManyPredictions",
    "ModelDetail",
    "Prediction",
    "PredictionBatch",
    "ProbabilityPrediction",
    "ProblemError",
    "RegisteredVersion",
    "RequestTimeoutError",
    "RetriesExhaustedError",
    "RetryPolicy",
    "UnexpectedAnswerError",
    "ValuePrediction",
    "VersionDetail",
    "ZeroskewClient",
    "ZeroskewError",
    "__version__",
]
