"""Every command fed with mistakes: one sentence and exit code 1 or 2, never a traceback."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from tests.support.command_line import run_command
from tests.support.readme_project import CLOCK, write_definitions, write_tables
from training.project.user_name import user_name

MODEL, OTHER = "will_return", "will_return_too"
WORK = f"var/work/{MODEL}"


@dataclass
class Project:
    """A project that is up, and a command line in it."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str) -> tuple[int, str]:
        """Return the exit code and what was printed."""
        done = run_command(*arguments)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Bring the README's shop up, in this process, where the tests will have it again."""
    folder = tmp_path_factory.mktemp("shop") / "project"
    write_definitions(folder)
    write_tables(folder / "var" / "lake")
    models = folder / "models"
    text = (models / f"{MODEL}.py").read_text()
    (models / f"{OTHER}.py").write_text(text.replace(f'"{MODEL}"', f'"{OTHER}"'))
    variables = {
        "ZEROSKEW_FEATURE_REPO": str(folder / "feature_repo"),
        "ZEROSKEW_MODELS": str(models),
        "ZEROSKEW_HOME": str(folder / "var"),
        "ZEROSKEW_CLOCK": CLOCK,
        "ZEROSKEW_PORT": "0",
        "COLUMNS": "400",
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in variables.items():
            patched.setenv(name, value)
        done = run_command("up", "--no-serve")
        assert not done.returncode, done.stdout + done.stderr
        shutil.copytree(folder, folder.with_name("kept"))
        yield folder


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    yield Project(made, monkeypatch)
    shutil.rmtree(made)
    shutil.copytree(made.with_name("kept"), made)


Plant = Callable[[Project], object]


def nothing(_: Project) -> None:
    pass


def cut(file: str, n_bytes: int = 40) -> Plant:
    """Leave the beginning of a file alone."""

    def plant(project: Project) -> None:
        path = project.folder / file
        path.write_bytes(path.read_bytes()[:n_bytes])

    return plant


def erase_row(file: str) -> Plant:
    def plant(project: Project) -> None:
        path = project.folder / file
        pl.read_parquet(path)[1:].write_parquet(path)

    return plant


def without(*files: str) -> Plant:
    def plant(project: Project) -> None:
        for file in files:
            path = project.folder / file
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    return plant


def write(file: str, text: str) -> Plant:
    return lambda project: (project.folder / file).write_text(text)


def edit(file: str, old: str, new: str) -> Plant:
    def plant(project: Project) -> None:
        path = project.folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return plant


def variable(name: str, value: str) -> Plant:
    return lambda project: project.monkeypatch.setenv(name, value)


def in_folder(name: str, path: str) -> Plant:
    return lambda project: project.monkeypatch.setenv(name, str(project.folder / path))


def database(statement: str) -> Plant:
    def plant(project: Project) -> None:
        with sqlite3.connect(project.folder / "var" / "zeroskew.db") as connection:
            connection.execute(statement)

    return plant


def pipeline(text: str) -> Plant:
    def plant(project: Project) -> None:
        folder = project.folder / "feature_repo" / "pipelines"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "prepare.py").write_text(text)

    return plant


ROLLOUT = {"kind": "ab", "arms": [{"name": "a", "alias": "champion", "weight": 1.0}]}
PART = "var/lake/customer_orders/part-0.parquet"
ORDERS = "var/lake/orders/part-0.parquet"
SETTINGS = "feature_repo/feature_store.yaml"
DEFINITIONS = "feature_repo/definitions.py"
DECLARED = f"models/{MODEL}.py"
OLDER = "UPDATE alembic_version SET version_num = '0002_prediction_log'"
NEWER = "UPDATE alembic_version SET version_num = '0999_later'"

Case = tuple[str, Plant, str]
CASES: list[Case] = [
    # Models that are not there, or do not run.
    *(
        (f"{step} nobody", nothing, "nobody")
        for step in (
            "check",
            "train",
            "dataset",
            "fit",
            "evaluate",
            "export",
            "parity",
            "publish",
            "simulate",
        )
    ),
    ("train", write(DECLARED, "MODEL = ("), "will_return.py:1: Got SyntaxError"),
    ("fit", write(DECLARED, "import nothing_of_that_name"), "will_return.py:1: Got Mod"),
    ("publish", write(DECLARED, ""), "Got no MODEL"),
    ("export", edit(DECLARED, f'"{MODEL}"', '"other"'), "Got a model named 'other'"),
    ("up", without("models"), "Got no model in"),
    ("train", without("models"), "Got no model in"),
    # Steps out of order.
    ("fit", without(WORK), "run `zeroskew dataset` first"),
    ("evaluate", without(f"{WORK}/booster.txt"), "run `zeroskew fit` first"),
    ("evaluate", without(f"{WORK}/fitted.json"), "run `zeroskew fit` first"),
    ("export", without(f"{WORK}/booster.txt"), "run `zeroskew fit` first"),
    ("parity", without(f"{WORK}/model.onnx"), "run `zeroskew export` first"),
    ("publish", without(f"{WORK}/parity.json"), "run `zeroskew parity` first"),
    ("publish", without(f"{WORK}/evaluated.sha256"), "run `zeroskew evaluate` first"),
    ("publish", without(f"{WORK}/rows.parquet"), "run `zeroskew dataset`"),
    ("fit", without(f"{WORK}/request.parquet"), "run `zeroskew dataset`"),
    # Declarations that were edited after the steps.
    ("publish", edit(DECLARED, '"num_leaves": 15', '"num_leaves": 7'), "Got parameters edited"),
    ("evaluate", edit(DECLARED, "pl.col(", "~pl.col("), "Got label edited"),
    ("fit", edit(DECLARED, '("amount",)', "()"), "Got columns edited"),
    (
        "publish",
        edit(DECLARED, 'kind="probability"', 'kind="probability", threshold=0.9'),
        "output",
    ),
    # Files of the steps that are cut short, or another's.
    ("fit", cut(f"{WORK}/plan.json"), "plan.json"),
    ("fit", cut(f"{WORK}/rows.parquet"), "rows.parquet"),
    ("fit", cut(f"{WORK}/features.parquet", 0), "features.parquet"),
    ("fit", cut(f"{WORK}/request_only.json", 1), "request_only.json"),
    ("evaluate", cut(f"{WORK}/booster.txt", 300), "booster.txt"),
    ("evaluate", cut(f"{WORK}/fitted.json", 10), "fitted.json"),
    ("evaluate", write(f"{WORK}/fitted.json", "{}"), "fitted.json"),
    ("parity", cut(f"{WORK}/model.onnx", 200), "model.onnx"),
    ("publish", cut(f"{WORK}/evaluation.json", 30), "evaluation.json"),
    ("publish", cut(f"{WORK}/parity.json", 30), "parity.json"),
    ("publish", write(f"{WORK}/parity.json", "{}"), "parity.json"),
    ("publish", cut(f"{WORK}/model.onnx", 100), "zeroskew"),
    ("publish", erase_row(f"{WORK}/rows.parquet"), "run `zeroskew dataset` again"),
    # Tables.
    ("train", cut(PART), "part-0.parquet"),
    ("dataset", cut(PART), "part-0.parquet"),
    ("dataset", cut(ORDERS), "orders"),
    ("materialize", cut(PART), "part-0.parquet"),
    ("materialize", without("var/lake/customer_orders"), "Got no Parquet file"),
    ("dataset", without("var/lake"), "Got no Parquet file"),
    ("up --no-serve", without("var/lake"), "Got no Parquet file"),
    ("apply", without("var/lake/customer_orders"), "Got no Parquet file"),
    # The feature repo.
    *(
        (f"{command}", without(SETTINGS), "Got no feature_store.yaml")
        for command in (
            "apply",
            "materialize",
            "dataset",
            "settings",
            "serve",
            "up",
            "skew",
            "subject where x",
        )
    ),
    *(
        (f"{command}", write(SETTINGS, "a: [1"), "that is no YAML")
        for command in (
            "apply",
            "materialize",
            "settings",
            "up",
        )
    ),
    ("apply", write(SETTINGS, "- 1\n"), "with a list"),
    ("materialize", write(SETTINGS, "project: a\n"), "Got"),
    ("apply", edit(SETTINGS, "provider: local", "provider: [a]"), "Feast refuses"),
    ("materialize", edit(SETTINGS, "PolarsAsofOfflineStore", "Nothing"), "Feast refuses"),
    ("apply", write(DEFINITIONS, "x = ("), "definitions.py:1: Got SyntaxError"),
    ("apply", write(DEFINITIONS, "1 / 0"), "definitions.py:1: Got ZeroDivisionError"),
    ("train", edit(DEFINITIONS, '"returns_v1"', '"returns_v9"'), "Got 'returns_v1', but expected"),
    ("dataset", edit(DECLARED, '"returns_v1"', '"returns_v9"'), "run `zeroskew apply` after"),
    ("materialize", write("var/feast/registry.db", "no registry"), "registry"),
    ("prepare", pipeline("x = ("), "prepare.py:1: Got SyntaxError"),
    ("prepare", pipeline("x = 1"), "prepare.py: Got ImportError"),
    # The environment.
    *(
        (f"{command}", variable("ZEROSKEW_LAKE", "lake"), "ZEROSKEW_LAKE=lake")
        for command in (
            "check",
            "train",
            "models",
            "up",
        )
    ),
    *(
        (f"{command}", variable("ZEROSKEW_CLOCK", "noon"), "ZEROSKEW_CLOCK")
        for command in (
            "check",
            "materialize",
            "up --no-serve",
            "metrics",
            "guard",
        )
    ),
    ("up", variable("ZEROSKEW_PORT", "eighty"), "ZEROSKEW_PORT=eighty"),
    ("up", variable("ZEROSKEW_HOST", "no such host"), "ZEROSKEW_HOST=no such host"),
    ("up", in_folder("ZEROSKEW_HOME", f"{DECLARED}/var"), "Not a directory"),
    ("train", in_folder("ZEROSKEW_HOME", f"{DECLARED}/var"), "which is a file"),
    ("publish", in_folder("ZEROSKEW_ARTIFACTS_DIR", DECLARED), "will_return.py"),
    ("publish", in_folder("ZEROSKEW_SIGNING_KEY_FILE", "no.pem"), "no.pem"),
    ("publish", in_folder("ZEROSKEW_SIGNING_KEY_FILE", DECLARED), "Got"),
    (
        "publish",
        variable("ZEROSKEW_ARTIFACTS_DIR", "nothing://bucket"),
        "object store of the artefacts",
    ),
    # The database.
    *(
        (f"{command}", database(OLDER), "zeroskew migrate")
        for command in (
            "models",
            f"alias {MODEL} champion",
            "publish",
            "metrics",
            f"history {MODEL}",
            "keys list",
            "guard",
        )
    ),
    *((f"{command}", database(NEWER), "0999_later") for command in ("models", "up")),
    *(
        (f"{command}", write("var/zeroskew.db", "no database" * 99), "database")
        for command in ("models", "migrate", "up --no-serve", "metrics", "keys list")
    ),
    *(
        (f"{command}", variable("ZEROSKEW_DATABASE_URL", "postgresql://a@127.0.0.1:1/a"), "")
        for command in ("models", "migrate", "publish", "metrics", "keys list")
    ),
    *(
        (f"{command}", variable("ZEROSKEW_DATABASE_URL", "nonsense"), "ZEROSKEW_DATABASE_URL")
        for command in ("models", "migrate", "publish", "check")
    ),
    *(
        (f"{command}", variable("ZEROSKEW_DATABASE_URL", "sqlite:///x.db?timeout=5"), "options")
        for command in ("models", "apply", "check")
    ),
    ("models", variable("ZEROSKEW_DATABASE_URL", "oracle9://a"), "ZEROSKEW_DATABASE_URL"),
    # The registry.
    (f"alias {MODEL} champion 99", nothing, "99"),
    (f"alias {MODEL} best", nothing, "best"),
    ("alias nobody champion 1", nothing, "nobody"),
    (f"alias {MODEL} champion 0", nothing, "version"),
    (f"alias {MODEL} champion 1 --if-match 99", nothing, "99"),
    (f"alias {MODEL} CHAMPION! 1", nothing, "Got"),
    (f"alias {MODEL} best --delete", nothing, "best"),
    (f"retire {MODEL} 99", nothing, "99"),
    (f"reactivate {MODEL} 99", nothing, "99"),
    (f"deprecate {MODEL} 99", nothing, "99"),
    (f"deprecate {MODEL} 1 --sunset someday", nothing, "--sunset"),
    ("history nobody", nothing, "nobody"),
    (f"rollout {MODEL}", nothing, "rollout"),
    (f"rollout {MODEL} {{folder}}/no.json", nothing, "expected a file with a rollout"),
    (f"rollout {MODEL} {{folder}}", nothing, "directory"),
    (f"rollout {MODEL} {{folder}}/r.json", write("r.json", "{"), "r.json"),
    (f"rollout {MODEL} {{folder}}/r.json", write("r.json", "{}"), "r.json"),
    (
        f"rollout {MODEL} {{folder}}/r.json",
        write("r.json", "\udcff".encode("utf8", "surrogatepass").decode("latin1")),
        "r.json",
    ),
    ("rollout nobody {folder}/r.json", write("r.json", json.dumps(ROLLOUT)), "nobody"),
    (f"rollout {MODEL} --delete", nothing, "rollout"),
    (f"publish {MODEL} --alias CHAMPION!", nothing, "CHAMPION!"),
    # What was served.
    ("metrics nobody", nothing, "nobody"),
    ("replay nobody", nothing, "nobody"),
    ("skew nobody", nothing, "nobody"),
    (f"skew {MODEL} --from x", nothing, "--from"),
    (f"skew {MODEL} --from 2024-01-01 --days 1", nothing, "expected one of them"),
    (f"skew {MODEL} --tolerance 2", nothing, "--tolerance"),
    ("skew --page skew.html", nothing, "--page of several models"),
    (f"skew {MODEL} --days 1000000", nothing, "--days"),
    (f"metrics {MODEL} --as-of 2024-13-01", nothing, "--as-of"),
    ("guard nobody", nothing, "nobody"),
    ("bandit nobody", nothing, "nobody"),
    (f"deal {MODEL} {{folder}}/no.json", nothing, "no.json"),
    (f"deal {MODEL} {{folder}}/r.json", write("r.json", "[]"), "r.json"),
    (f"simulate {MODEL} --from 2024-06-01 --until 2024-05-01", nothing, "Got"),
    (f"simulate {MODEL} --folder {{folder}}/{DECLARED}", nothing, "will_return.py"),
    (f"simulate {MODEL} --folder {{folder}}/var", nothing, "which holds the project"),
    (f"simulate {MODEL} --folder {{folder}} --fresh", nothing, "which holds the project"),
    (f"simulate {MODEL} --folder {{folder}}/var/work --fresh", nothing, "no simulation has left"),
    ("log upkeep --days 0", nothing, "--days"),
    ("log upkeep --keep-days 1000000", nothing, "--keep-days"),
    # People.
    ("keys create x --scope fly", nothing, "fly"),
    ("keys create x --scope predict --days -1", nothing, "Got"),
    ("keys revoke zsk_none", nothing, "an id that no key has"),
    ("keys rotate zsk_none", nothing, "an id that no key has"),
    ("keys rotate zsk_none --overlap-hours 1e12", nothing, "--overlap-hours"),
    ("tenant nobody acme", nothing, "nobody"),
    ("subject export customer_id", nothing, "customer_id"),
    ("subject erase customer_id=1 --receipt {folder}/r.json", nothing, "Got"),
    ("subject export customer=1", nothing, "the views' are customer_id"),
    ("subject where custmer_id", nothing, "Got entity key custmer_id"),
    ("subject verify {folder}/no.json --key 00", nothing, "no.json"),
    ("subject verify {folder}/r.json --key 00", write("r.json", "{"), "Got"),
    ("keygen {folder}/no/where/key.pem", nothing, "where"),
    (f"keygen {{folder}}/{DECLARED}", nothing, "will_return.py"),
    # The command line itself.
    ("nothing", nothing, "nothing"),
    ("train --fast", nothing, "--fast"),
    ("materialize --until noon", nothing, "--until"),
    ("materialize --until 0001-01-01", nothing, ""),
    ("alias", nothing, "argument"),
]


def name_of(case: Case) -> str:
    return case[0]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_mistake_is_one_sentence(case: Case, project: Project) -> None:
    command, plant, says = case
    plant(project)
    code, printed = project.run(*command.format(folder=project.folder).split())
    assert code in (1, 2), printed
    assert "Traceback" not in printed
    assert says in printed
    marked = [line for line in printed.splitlines() if line.startswith("✗")]
    assert code == 2 or marked, printed
    assert all(len(line) < 400 for line in marked), printed


def test_a_mistake_of_one_model_stops_that_one_alone(project: Project) -> None:
    edit(DECLARED, "num_leaves", "num_leafs")(project)
    code, printed = project.run("train")
    assert code == 1
    assert f"✗ {MODEL}.py" in printed
    assert "num_leafs" in printed
    assert f"✓ {OTHER}: parity" in printed
    assert f"Got 1 of 2 models that did not get through: {MODEL}\n" in printed
    code, printed = project.run("publish")
    assert code == 1
    assert f"{OTHER} version 1 is champion" in printed
    assert f"{MODEL} version" not in printed
    code, printed = project.run("up", "--no-serve")
    assert code == 1
    assert "will answer at" not in printed
    assert f"{OTHER} version 1 is champion" in printed


def test_up_without_serving_does_not_say_that_the_service_answers(project: Project) -> None:
    code, printed = project.run("up", "--no-serve")
    assert code == 0
    assert "The service answers" not in printed
    assert "`zeroskew serve` will answer at http://127.0.0.1:0" in printed


def test_a_simulation_asks_its_service_wherever_the_projects_own_listens(project: Project) -> None:
    variable("ZEROSKEW_HOST", "127.0.0.2")(project)
    code, printed = project.run("simulate", MODEL)
    assert code == 0, printed


def test_history_tells_who_published(project: Project) -> None:
    code, printed = project.run("history", MODEL)
    assert code == 0
    moved = [line for line in printed.splitlines() if "set_alias" in line]
    assert moved
    assert all(user_name() in line for line in moved)
