"""The commands by their names: where each is, and what it does in a line.

Nothing of them is imported to list them, and to run one nothing of the others.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["COMMANDS", "Entry"]


class Entry(NamedTuple):
    """A command: the group it is listed in, its module and what it is called there."""

    group: str
    module: str
    attribute: str
    summary: str


COMMANDS: Final = {
    "new": Entry(
        "Project",
        "project",
        "new",
        "Write a new project into a folder, with a small sample to begin with.",
    ),
    "example": Entry(
        "Project", "project", "example_app", "The worked example that a clone comes with."
    ),
    "check": Entry("Data", "check", "check", "Say in seconds all that would fail later."),
    "prepare": Entry(
        "Data",
        "data",
        "prepare",
        "Make the feature and label tables in the lake from the raw data.",
    ),
    "apply": Entry(
        "Data",
        "data",
        "apply",
        "Register the feature repo's definitions with Feast, and what the service knows of them.",
    ),
    "materialize": Entry(
        "Data", "data", "materialize", "Write the latest feature values to the online store."
    ),
    "collect": Entry(
        "Data",
        "data",
        "collect",
        "Bring the rows that were pushed to the service into the tables of the lake.",
    ),
    "train": Entry(
        "Training",
        "training",
        "train",
        "Run all training steps: dataset, fit, evaluate, export, parity.",
    ),
    "dataset": Entry(
        "Training",
        "training",
        "dataset",
        "Join labels with features as of each prediction time, and split by time.",
    ),
    "fit": Entry("Training", "training", "fit", "Fit the model on the data set."),
    "evaluate": Entry(
        "Training",
        "training",
        "evaluate",
        "Judge the fitted model on the test span against both baselines.",
    ),
    "export": Entry(
        "Training",
        "training",
        "export",
        "Export the fitted model and its request-time features to ONNX.",
    ),
    "parity": Entry(
        "Training",
        "training",
        "parity",
        "Compare the ONNX file with the fitted model, trees leaf by leaf.",
    ),
    "publish": Entry(
        "Serving",
        "training",
        "publish",
        "Register trained models that pass their gates, and that the service loads.",
    ),
    "models": Entry(
        "Serving",
        "registry",
        "list_models",
        "List the registered models, their versions and aliases.",
    ),
    "serve": Entry(
        "Serving",
        "serving",
        "serve",
        "Serve the registered models over HTTP; settings come from ZEROSKEW_... variables.",
    ),
    "settings": Entry(
        "Serving",
        "serving",
        "settings",
        "Tell what the service can be set to and is, or which settings it refuses.",
    ),
    "up": Entry(
        "Serving",
        "serving",
        "up",
        "Do all that is needed to serve every declared model, and serve.",
    ),
    "keygen": Entry(
        "Serving",
        "serving",
        "keygen",
        "Make a key that signs what is published, and print its public half.",
    ),
    "alias": Entry(
        "Registry", "registry", "alias", "Show where an alias points, move it, or take it away."
    ),
    "rollout": Entry(
        "Registry", "registry", "rollout", "Show a model's rollout, set it from a file, or end it."
    ),
    "retire": Entry("Registry", "registry", "retire", "Let a version answer no more."),
    "reactivate": Entry(
        "Registry",
        "registry",
        "reactivate",
        "Let a retired, refused or deprecated version answer again as if nothing had been.",
    ),
    "deprecate": Entry(
        "Registry",
        "registry",
        "deprecate",
        "Tell the callers of a version that it is on its way out; it goes on answering.",
    ),
    "history": Entry(
        "Registry", "registry", "history", "Show who changed what of a model, when and why."
    ),
    "migrate": Entry(
        "Registry",
        "registry",
        "migrate",
        "Bring the database's tables to what this release has; again it changes nothing.",
    ),
    "keys": Entry("Access", "access", "keys_app", "Make, rotate and revoke API keys."),
    "tenant": Entry(
        "Access",
        "access",
        "tenant",
        "Give a model to a tenant: keys of other tenants do not see it any more.",
    ),
    "subject": Entry("Access", "subject", "subject_app", "What is stored about one entity."),
    "simulate": Entry(
        "Live",
        "live",
        "simulate",
        "Replay a span of the past as live traffic, against a real service on a simulated clock.",
    ),
    "replay": Entry(
        "Live",
        "live",
        "replay",
        "Compute logged predictions again, and compare them to the bit; exit 1 if one differs.",
    ),
    "skew": Entry(
        "Live",
        "live",
        "skew",
        "Compare what models were given with the offline store as of each prediction.",
    ),
    "metrics": Entry(
        "Live",
        "live",
        "metrics",
        "Measure what was served, over predictions whose labels are mature.",
    ),
    "log": Entry("Live", "log", "log_app", "Keep the prediction log in shape."),
    "guard": Entry(
        "Rollouts",
        "rollouts",
        "guard",
        "Judge rollouts once by their limits: promote, hold or roll back, and write why.",
    ),
    "bandit": Entry(
        "Rollouts",
        "rollouts",
        "bandit",
        "Move the weights of bandits by what the labels of their arms say.",
    ),
    "deal": Entry(
        "Rollouts",
        "rollouts",
        "deal",
        "Show what share of the logged keys a rollout would give to each arm; nothing is changed.",
    ),
}
"""In the order of help."""
