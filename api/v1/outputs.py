"""One output alone in V1's answers, as TensorFlow Serving has them where a model has just one.

Its row form gives objects where a model has several outputs, and bare values where it has one
(https://www.tensorflow.org/tfx/serving/api_rest). Here most models have several, and every answer
has objects, but for who asks for one output by its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import create_model

from zeroskew.contract.errors.service import InvalidRequestError
from zeroskew.contract.manifest import Output
from zeroskew.model.requests.responses import PredictionResponse

__all__ = ["ONE_OUTPUT", "OneOutputResponse", "check_one_output", "describe_one_output"]

ONE_OUTPUT: Final[dict[str, tuple[str, ...]]] = {
    "value": ("value",),
    "probability": ("probability", "label"),
    "probabilities": ("label",),
}
"""By a model's kind, the outputs that may be asked for alone: those of one value an instance."""

OneOutputResponse = create_model(
    "OneOutputResponse",
    __base__=PredictionResponse,
    __doc__="The values of one output, in the order of the instances; asked for by `?output=`.",
    predictions=(list[bool] | list[float] | list[str], ...),
)

_SHOWN: Final = 32


def check_one_output(name: str, output: Output) -> None:
    """Check that a model's output of that name is one value an instance.

    Parameters
    ----------
    name
        What the caller asks for.
    output
        From the model's manifest.

    Raises
    ------
    InvalidRequestError
        If it is not; it says which ones are.
    """
    known = ONE_OUTPUT[output.kind]
    if name in known:
        return
    because = f"; {name} are a number for each class" if name == output.kind else ""
    raise InvalidRequestError(
        f"Got output={name[:_SHOWN]!r} in the query, but expected {' or '.join(known)}{because}."
    )


def describe_one_output(names: Iterable[str]) -> dict[str, Any]:
    """Return the query parameter of a predict operation whose model has outputs of those names."""
    return {
        "name": "output",
        "in": "query",
        "description": "The only output to answer with. Then `predictions` holds its bare values, "
        "as TensorFlow Serving has them for a model with one output.",
        "schema": {"type": "string", "enum": [*names]},
    }
