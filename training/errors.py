"""What can go wrong offline.

::

    TrainingError
    ├── SpecError        a model file declares something impossible
    ├── PlanError        a feature service cannot be compiled into a plan
    ├── DatasetError     labels or features are not what the model declares
    ├── GateError        a model is not good enough to be published
    └── StepError        a step is asked for before the one it builds on
"""

__all__ = ["DatasetError", "GateError", "PlanError", "SpecError", "StepError", "TrainingError"]


class TrainingError(Exception):
    """Root of all expected failures offline; the command line prints it without a stack."""


class SpecError(TrainingError):
    """A model file declares something impossible."""


class PlanError(TrainingError):
    """A feature service cannot be compiled into a plan."""


class DatasetError(TrainingError):
    """Labels or features are not what the model declares."""


class GateError(TrainingError):
    """A model is not good enough to be published."""


class StepError(TrainingError):
    """A step is asked for before the one it builds on."""
