"""From the template to a folder on disk."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from training.new_project.sample import sample_orders
from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.version import VERSION

__all__ = ["write_project"]

_TEMPLATE: Final = Path(__file__).with_name("template")
_EXAMPLE: Final = (
    *("data/", "models/", "tests/test_prepare.py", "tests/conftest.py"),
    *("feature_repo/pipelines/", "feature_repo/definitions.py"),
)
# Files whose names tools would heed in the template itself.
_HIDDEN: Final = ("gitignore", "dockerignore", "feastignore")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
_BARE: Final = {
    "feature_repo/definitions.py": '"""Entities, feature views and feature services."""\n',
    "data/.gitkeep": "",
    "models/.gitkeep": "",
    "README.md": (
        "# @name@\n\nA project of Zeroskew. Entities, views and feature services go into "
        "`feature_repo/`, a file a model into `models/`, settings into `zeroskew.toml`; tables are "
        "folders of Parquet files in `var/lake/`, or what `feature_repo/pipelines/prepare.py` "
        "makes.\n\n```console\n$ make check    # what is amiss, in seconds\n$ make up       # to "
        "a service that scores, on port 8000\n```\n"
    ),
    "zeroskew.toml": (
        "# Settings: each ZEROSKEW_... variable by its name in lower case, without the prefix. The "
        "environment\n# wins over what stands here. `zeroskew settings` lists them.\n\n# With "
        "tables of the past: a moment up to which they are fresh, which is then the time of all "
        "predictions.\n# Without it that is the clock on the wall.\n"
        '# clock = "2024-07-01T00:00:00Z"\n'
    ),
}


def write_project(folder: Path, *, is_bare: bool = False) -> list[Path]:
    """Write a project that `zeroskew up` brings to a first score.

    Parameters
    ----------
    folder
        Where it goes; its last part is the project's name.
    is_bare
        Without the sample: settings and tools alone.

    Returns
    -------
    written
        Its files, below `folder`.

    Raises
    ------
    SpecError
        If the name is none that Feast takes, or there is something in the folder already. Then
        nothing was written.
    """
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"Got {name!r}, but expected a name of at most 50 small letters, digits and "
            "underscores that begins with a letter: Feast names its tables by it"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SpecError(f"Got {folder}, which is there already, but expected a new or empty folder")
    words = {"@name@": name, "@version@": VERSION, "@requirement@": _find_requirement()}
    files = _read_template(words)
    if is_bare:
        files = {path: text for path, text in files.items() if not path.startswith(_EXAMPLE)}
        files |= {path: text.replace("@name@", name) for path, text in _BARE.items()}
    else:
        files["data/orders.csv"] = sample_orders()
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return [folder / path for path in sorted(files)]


def _read_template(words: dict[str, str]) -> dict[str, str]:
    files = {}
    for path in sorted(_TEMPLATE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text()
            for word, meaning in words.items():
                text = text.replace(word, meaning)
            place = path.relative_to(_TEMPLATE)
            if place.name in _HIDDEN:
                place = place.with_name(f".{place.name}")
            files[place.as_posix()] = text
    return files


def _find_requirement() -> str:
    """Return what pip is to install: what this command was installed from itself."""
    release = f"zeroskew=={VERSION}"
    try:
        said = distribution("zeroskew").read_text("direct_url.json")
    except PackageNotFoundError:
        return release
    if said is None:
        return release
    origin = json.loads(said)
    if origin.get("dir_info", {}).get("editable"):
        return f"-e {origin['url']}"
    revision = origin.get("vcs_info", {}).get("commit_id")
    url = f"git+{origin['url']}@{revision}" if revision else origin["url"]
    return f"zeroskew @ {url}"
