"""A Feast registry that came along with a copy of its project is noticed, and made anew."""

import shutil
import sqlite3
from contextlib import chdir
from pathlib import Path

import pytest
from feast.repo_operations import apply_total

from tests.support.shop_project import STORES, ShopProject, shop_view
from training.project.example import ExampleParts, remove_example
from training.project.registry_folder import RegistryFolder
from zeroskew.contract.errors.project import StepError


@pytest.fixture(params=STORES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> ShopProject:
    """A shop with values online, on Feast's own SQLite store and on ours."""
    project = ShopProject(tmp_path / "shop", STORES[request.param])
    project.declare("view()", 'view("visits", (("spent", Float64),), table="spending")')
    project.apply()
    project.materialize()
    project.publish(shop_view())
    return project


def count_online(project: ShopProject) -> dict[str, int]:
    with sqlite3.connect(project.online_path) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for (name,) in names
            if name.startswith("shop_")
        }


EXPECTED = {"shop_spending": 4, "shop_visits": 2}


def test_applying_in_a_copy_leaves_the_original_alone(shop: ShopProject, tmp_path: Path) -> None:
    copy = shop.copied_to(tmp_path / "copy")
    copy.declare("view()")
    applied = copy.apply()
    assert applied.taken_from == str(tmp_path / "shop" / "feature_repo")
    copy.write_table("spending", {"customer_id": [9], "spent": [1.0], "orders": [1]})
    copy.materialize()
    assert count_online(shop) == EXPECTED
    assert count_online(copy)["shop_spending"] == 6
    # And each goes on by itself.
    assert copy.apply().taken_from is None
    assert shop.apply().taken_from is None
    assert count_online(shop) == EXPECTED


def test_a_copy_is_noticed_before_its_tables_are_read(shop: ShopProject, tmp_path: Path) -> None:
    copy = shop.copied_to(tmp_path / "copy")
    with pytest.raises(StepError, match=r"belongs to .*shop/feature_repo, .* `zeroskew apply`"):
        copy.materialize()
    assert count_online(shop) == EXPECTED


def test_an_example_is_not_removed_by_the_registry_of_another_folder(
    shop: ShopProject, tmp_path: Path
) -> None:
    copy = shop.copied_to(tmp_path / "copy")
    declared = sorted(copy.folder.rglob("*.py"))
    names = tuple(str(path.relative_to(copy.folder)) for path in declared)
    parts = ExampleParts(models=(), files=names, tables=("spending",))
    with pytest.raises(StepError, match=r"belongs to .*shop/feature_repo, .* `zeroskew apply`"):
        remove_example(copy.folder, copy.workspace, parts)
    assert sorted(copy.folder.rglob("*.py")) == declared
    assert count_online(copy) == EXPECTED


def test_a_project_that_moved_goes_on(shop: ShopProject, tmp_path: Path) -> None:
    shutil.move(shop.folder, tmp_path / "elsewhere")
    moved = ShopProject.at(tmp_path / "elsewhere")
    assert moved.apply().taken_from is not None
    moved.materialize()
    assert count_online(moved) == EXPECTED
    assert not shop.folder.exists()


def test_a_copy_of_what_feast_alone_applied_is_noticed(tmp_path: Path) -> None:
    shop = ShopProject(tmp_path / "shop", STORES["sqlite"])
    shop.declare("view()", 'view("visits", (("spent", Float64),), table="spending")')
    store = shop.open_store()
    with chdir(shop.folder):
        apply_total(store.config, Path(store.repo_path), skip_source_validation=False)
    shop.materialize()
    copy = shop.copied_to(tmp_path / "copy")
    copy.declare("view()")
    assert copy.apply().taken_from is not None
    assert count_online(shop) == EXPECTED


def test_one_registry_of_two_projects_is_refused(shop: ShopProject, tmp_path: Path) -> None:
    copy = shop.copied_to(tmp_path / "copy")
    file = copy.folder / "feature_repo" / "feature_store.yaml"
    for name in ("registry.db", "online.db"):
        file.write_text(file.read_text().replace(f"../var/{name}", f"{shop.folder}/var/{name}"))
    copy.declare("view()")
    with pytest.raises(StepError, match=r"that .*shop/feature_repo applies to, .* this project"):
        copy.apply()
    assert count_online(shop) == EXPECTED
    # Where the other is gone, its place is taken.
    shutil.rmtree(shop.folder / "feature_repo")
    assert copy.apply().taken_from == str(shop.folder / "feature_repo")
    assert copy.apply().taken_from is None


@pytest.mark.parametrize("note", ["", "{}", "[1]", '{"registry": 1}'])
def test_a_note_that_is_none_is_no_note(tmp_path: Path, note: str) -> None:
    shop = ShopProject(tmp_path / "shop")
    shop.declare("view()")
    shop.apply()
    (shop.folder / "var" / "registry.db.folder.json").write_text(note)
    RegistryFolder(shop.workspace).require_own()
    assert shop.apply().taken_from is None
