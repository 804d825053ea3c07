"""What can go wrong offline.

::

    TrainingError
    ├── SpecError                      a model file declares something impossible
    │   ├── ModelFileError             it does not run, or says several such things
    │   └── NothingLearntError         there is nothing that a model could learn from
    ├── PlanError                      a feature service cannot be compiled into a plan
    ├── FitError                       a fit did not come to an end of its own
    ├── DatasetError                   labels or features are not what the model declares
    ├── GateError                      a model is not good enough to be published
    ├── StepError                      a step is asked for before the one it builds on
    ├── PrepareError                   source tables are not what the pipelines expect
    ├── OfflineStoreError              the offline store refuses (`offline_store.errors`)
    │   ├── EntityRowError                 the entity frame cannot be joined
    │   ├── SourceError                a view's table is not what its definition says
    │   └── UnsupportedRequestError    Feast offers it, this store does not do it
    ├── RequestFunctionError           a request-time function breaks its contract
    ├── SymbolError                    an on-demand view asks what no graph can answer
    ├── FitRefusedError                LightGBM refuses the parameters or the rows
    │   └── NoSplitError               there is nothing to learn from
    ├── ModelTextError                 a LightGBM model text cannot be read completely
    ├── ExportError                    a model cannot be exported to ONNX
    └── ParityError                    an exported model predicts something else

`OfflineStoreError` and those below it are defined beside the code that raises them.
"""

__all__ = [
    "DatasetError",
    "FitError",
    "GateError",
    "PlanError",
    "PrepareError",
    "SpecError",
    "StepError",
    "TrainingError",
]


class TrainingError(Exception):
    """Root of all expected failures offline; the command line prints it without a stack."""


class SpecError(TrainingError):
    """A model file declares something impossible."""


class PlanError(TrainingError):
    """A feature service cannot be compiled into a plan."""


class FitError(TrainingError):
    """The process of a fit was killed, or ended otherwise than with a model or a refusal."""


class DatasetError(TrainingError):
    """Labels or features are not what the model declares."""


class GateError(TrainingError):
    """A model is not good enough to be published."""


class StepError(TrainingError):
    """A step is asked for before the one it builds on."""


class PrepareError(TrainingError):
    """Source tables are missing, or are not what the pipelines expect."""
