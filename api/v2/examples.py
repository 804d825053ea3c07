"""Inference requests that a model answers: one through each of its interfaces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.v2.model_interface import FEATURES, REQUEST, Interface, ModelInterface
from zeroskew.contract.manifest import Manifest

__all__ = ["make_examples"]


def make_examples(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return a request in JSON for each interface of a model, by the interface's name.

    The entity interface gets the manifest's example, the tensor interface the first golden row
    that JSON can say; one with an infinity it cannot.
    """
    values = {
        Interface.ENTITY: {name: [value] for name, value in manifest.example.items()},
        Interface.TENSOR: _read_golden_row(manifest),
    }
    return {
        owner.value: {
            "inputs": [
                {
                    "name": name,
                    "datatype": spec.datatype,
                    "shape": [1] if spec.width is None else [1, spec.width],
                    "data": values[owner][name],
                }
                for name, spec in specs.items()
            ]
        }
        for owner, specs in ModelInterface(manifest).inputs.items()
        if specs and values[owner]
    }


def _read_golden_row(manifest: Manifest) -> dict[str, list[Any]]:
    for golden in manifest.golden_rows:
        features = np.frombuffer(bytes.fromhex(golden.features), "<f4")
        request = np.frombuffer(bytes.fromhex(golden.request), "<f8")
        if not (np.isinf(features).any() or np.isinf(request).any()):
            return {FEATURES: _to_json(features), REQUEST: _to_json(request)}
    return {}


def _to_json(row: NDArray[np.floating[Any]]) -> list[float | None]:
    return [None if np.isnan(number) else float(number) for number in row]
