"""docs/architecture.md names folders and files that are there, and all folders of the house."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
HOUSES = ("api", "training", "zeroskew")
TOLD = sorted(set(re.findall(r"`((?:api|training|zeroskew|monitoring|docs)/[\w/.]*)`", PAGE)))


def folders_of(house: str) -> list[str]:
    return sorted(path.parent.name for path in (ROOT / house).glob("*/__init__.py"))


@pytest.mark.parametrize("place", TOLD)
def test_what_the_page_names_is_there(place: str) -> None:
    assert (ROOT / place).exists()


@pytest.mark.parametrize("house", HOUSES)
def test_the_page_shows_every_folder(house: str) -> None:
    picture = PAGE.split("```")[1]
    missing = [name for name in folders_of(house) if f"{name}/" not in picture]
    assert missing == []
