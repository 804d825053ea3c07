"""`zeroskew up` does again what has to be done: it looks at what is said to stand."""

import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tests.support.shop_project import CLOCK, ShopProject
from training.cli.main import app
from training.project.service_address import ServiceAddress
from training.project.standing import Stamp, digest_code, digest_tables, find_missing
from zeroskew.contract.errors.project import StepError
from zeroskew.records.registry.model_registry import ModelRegistry

MODEL = """
import polars as pl
from zeroskew.contract.manifest import FieldType, Output, RequestField
from zeroskew.declarations.model_spec import LabelTable, ModelSpec, TimeSplit

MODEL = ModelSpec(
    name="worth", description="What a customer is worth.", feature_service="worth_v1",
    request=(
        RequestField(name="customer_id", type=FieldType.INTEGER, description="Whose.", example=7),
    ),
    labels=LabelTable(table="sales", label=pl.col("worth"), known_at="known_at"),
    split=TimeSplit.from_dates("2024-01-01", "2024-04-01", "2024-05-01", "2024-06-01"),
    parameters={"objective": "regression", "num_leaves": 7}, n_rounds=20,
    output=Output(kind="value", description="Worth."),
)
"""


def write_tables(shop: ShopProject) -> None:
    first, last = (datetime(2024, month, day, tzinfo=UTC) for month, day in ((1, 1), (5, 31)))
    days = pl.datetime_range(first, last, "1d", eager=True)
    random = np.random.default_rng(0)
    customers = pl.DataFrame({"customer_id": range(20)})
    history = customers.join(pl.DataFrame({"event_timestamp": days}), how="cross")
    spent = random.integers(0, 100, history.height)
    history = history.with_columns(spent=pl.Series(spent).cast(pl.Float64), orders=pl.lit(1))
    sales = history.select(
        "customer_id",
        event_timestamp=pl.col("event_timestamp") + timedelta(minutes=10),
        known_at=pl.col("event_timestamp") + timedelta(minutes=20),
        worth=pl.col("spent") + pl.Series(random.normal(0, 1, history.height)),
    )
    for name, table in {"spending": history, "sales": sales}.items():
        path = shop.folder / "var" / "lake" / name / "part-0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path)


def declare(shop: ShopProject, ttl: int = 24) -> None:
    service = 'FeatureService(name="worth_v1", features=[view_0])'
    shop.declare(f"view(ttl={ttl})", service, head="from feast import FeatureService")


def run_up(shop: ShopProject, *options: str) -> str:
    sys.path[:] = [path for path in sys.path if not path.endswith("/feature_repo")]
    done = CliRunner().invoke(app, ["up", "--no-serve", *options], env=environment(shop))
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def environment(shop: ShopProject) -> dict[str, str]:
    return {
        "ZEROSKEW_FEATURE_REPO": str(shop.folder / "feature_repo"),
        "ZEROSKEW_MODELS": str(shop.folder / "models"),
        "ZEROSKEW_HOME": str(shop.folder / "var"),
        "ZEROSKEW_CLOCK": CLOCK.isoformat(),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ShopProject:
    """A shop that was brought up."""
    shop = ShopProject(tmp_path_factory.mktemp("standing") / "shop")
    declare(shop)
    write_tables(shop)
    (shop.folder / "models").mkdir()
    (shop.folder / "models" / "worth.py").write_text(MODEL)
    assert "worth version 1 is champion" in run_up(shop)
    return shop


def missing(shop: ShopProject) -> str | None:
    stamp = Stamp.read(shop.workspace)
    assert stamp is not None
    return find_missing(shop.workspace, stamp, ["worth"])


def test_what_stands_is_reused(made: ShopProject) -> None:
    assert missing(made) is None
    again = run_up(made)
    assert "tables, online store and models stand" in again
    assert "version" not in again


def artifact_of(shop: ShopProject, *, is_manifest: bool) -> Path:
    registry = ModelRegistry.open(shop.workspace.database_url)
    champion = registry.resolve_alias("worth", "champion")
    registry.close()
    sha256 = champion.manifest_sha256 if is_manifest else champion.model_sha256
    return shop.folder / "var" / "artifacts" / sha256[:2] / sha256


def take_model_file(shop: ShopProject) -> None:
    artifact_of(shop, is_manifest=False).unlink()


def take_manifest(shop: ShopProject) -> None:
    artifact_of(shop, is_manifest=True).unlink()


def damage_model_file(shop: ShopProject) -> None:
    file = artifact_of(shop, is_manifest=False)
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"\0")


def take_alias(shop: ShopProject) -> None:
    registry = ModelRegistry.open(shop.workspace.database_url)
    registry.delete_alias("worth", "champion")
    registry.close()


def take_registry(shop: ShopProject) -> None:
    (shop.folder / "var" / "zeroskew.db").unlink()


def change_online(statement: str) -> Callable[[ShopProject], None]:
    def change(shop: ShopProject) -> None:
        with sqlite3.connect(shop.folder / "var" / "online.db") as database:
            database.execute(statement)
        database.close()

    return change


def take_online_store(shop: ShopProject) -> None:
    (shop.folder / "var" / "online.db").unlink()


def damage_online_store(shop: ShopProject) -> None:
    (shop.folder / "var" / "online.db").write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (take_model_file, "worth has no champion that can be loaded"),
        (take_manifest, "worth has no champion that can be loaded"),
        (damage_model_file, "worth has no champion that can be loaded"),
        (take_alias, "worth has no champion that can be loaded"),
        (take_registry, "the model registry is gone"),
        (change_online("DELETE FROM shop_spending WHERE rowid = 1"), "39 of 40 values online"),
        (change_online("DELETE FROM shop_spending"), "shop_spending has 0 of 40 values online"),
        (change_online("DROP TABLE shop_spending"), "shop_spending has 0 of 40 values online"),
        (take_online_store, "shop_spending has 0 of 40 values online"),
        (damage_online_store, "shop_spending has 0 of 40 values online"),
    ],
)
def test_what_is_gone_is_missed(
    made: ShopProject, tmp_path: Path, change: Callable[[ShopProject], None], told: str
) -> None:
    shop = made.copied_to(tmp_path / "shop")
    change(shop)
    found = missing(shop)
    assert found is not None
    assert told in found


def change_model(shop: ShopProject) -> None:
    (shop.folder / "models" / "worth.py").write_text(MODEL + "# Once more.\n")


def change_store(shop: ShopProject) -> None:
    file = shop.folder / "feature_repo" / "feature_store.yaml"
    file.write_text(file.read_text() + "# Once more.\n")


def take_table(shop: ShopProject) -> None:
    shutil.rmtree(shop.folder / "var" / "lake" / "spending")


def add_rows(shop: ShopProject) -> None:
    folder = shop.folder / "var" / "lake" / "spending"
    shutil.copy(folder / "part-0.parquet", folder / "part-1.parquet")


@pytest.mark.parametrize("change", [change_model, change_store, take_table, add_rows])
def test_what_stands_is_of_what_was_read(
    made: ShopProject, tmp_path: Path, change: Callable[[ShopProject], None]
) -> None:
    shop = made.copied_to(tmp_path / "shop")

    def digest(clock: str = "c") -> tuple[str, str]:
        return digest_code(shop.workspace, clock), digest_tables(shop.workspace)

    before = digest()
    assert digest() == before
    assert digest("d") != before
    change(shop)
    assert digest() != before


def test_an_edit_while_it_runs_is_in_the_next_one(made: ShopProject, tmp_path: Path) -> None:
    shop = made.copied_to(tmp_path / "shop")
    (definitions,) = (shop.folder / "feature_repo").glob("*.py")
    # The model is loaded when `up` begins and again when it trains; a person edits in between.
    edit = f"""
from pathlib import Path
mark, file = Path({str(tmp_path / "mark")!r}), Path({str(definitions)!r})
if mark.exists():
    file.write_text(file.read_text() + "# Another ttl.\\n")
mark.touch()
"""
    (shop.folder / "models" / "worth.py").write_text(MODEL + edit)
    first = run_up(shop)
    assert "something was changed while this ran" in first
    (shop.folder / "models" / "worth.py").write_text(MODEL)
    (tmp_path / "mark").unlink()
    stamp = Stamp.read(shop.workspace)
    assert stamp is not None
    assert stamp.code != digest_code(shop.workspace, CLOCK.isoformat())


def test_what_is_gone_is_made_again(made: ShopProject, tmp_path: Path) -> None:
    shop = made.copied_to(tmp_path / "shop")
    # The copy is another folder, so all is made once.
    assert "the Feast registry was that of" in run_up(shop)
    take_model_file(shop)
    change_online("DELETE FROM shop_spending")(shop)
    again = run_up(shop)
    assert "worth has no champion that can be loaded" in again
    assert "worth version 1 is champion" in again
    assert missing(shop) is None
    assert missing(made) is None


@pytest.fixture(params=["127.0.0.1", "::1", "localhost"])
def taken(request: pytest.FixtureRequest) -> Iterator[ServiceAddress]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as listener:
        try:
            listener.bind((request.param, 0))
        except OSError:
            pytest.skip("this machine has no such address")
        listener.listen()
        yield ServiceAddress(request.param, listener.getsockname()[1])


def test_a_port_is_tried_in_its_own_family(taken: ServiceAddress) -> None:
    with pytest.raises(StepError, match=f"Got ZEROSKEW_PORT={taken.port}, but expected a free"):
        taken.require_free()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("::1", "http://[::1]:8123"),
        ("localhost", "http://localhost:8123"),
        ("0.0.0.0", "http://0.0.0.0:8123"),  # noqa: S104 - it is not listened on
        ("::", "http://[::]:8123"),
    ],
)
def test_an_address_is_told_as_browsers_take_it(
    host: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROSKEW_HOST", host)
    monkeypatch.setenv("ZEROSKEW_PORT", "8123")
    assert ServiceAddress.read().url == url
    ServiceAddress(host, 0).require_free()


@pytest.mark.parametrize("port", ["", "http", "-1", "65536", "8000.0", "٣"])
def test_what_is_no_port_is_named(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSKEW_PORT", port)
    with pytest.raises(StepError, match=f"Got ZEROSKEW_PORT={port}, but expected a number"):
        ServiceAddress.read()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7", "2001:db8::1", "a b"])
def test_an_address_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(StepError, match=f"Got ZEROSKEW_HOST={host} and .* address to listen on"):
        ServiceAddress(host, 0).require_free()


@pytest.mark.parametrize("port", ["eighty", "70000", "-1", "", "٣", "9" * 5000])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(StepError, match="but expected a number from 0 to 65535"):
        ServiceAddress.read({"ZEROSKEW_PORT": port})


def test_a_taken_port_is_said_before_the_work(made: ShopProject, taken: ServiceAddress) -> None:
    settings = {"ZEROSKEW_HOST": taken.host, "ZEROSKEW_PORT": str(taken.port)}
    done = CliRunner().invoke(app, ["up"], env=environment(made) | settings)
    assert isinstance(done.exception, StepError)
    assert "stand" not in done.output
