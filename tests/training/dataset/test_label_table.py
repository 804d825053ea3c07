"""What a label table may hold, and the one sentence for what it may not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.support.model_specs import tiny_spec
from training.dataset.label_table import (
    find_schema_faults,
    load_labels,
    open_label_table,
    read_columns,
)
from zeroskew.contract.errors.project import DatasetError, TrainingError
from zeroskew.contract.manifest import FieldType, Output, RequestField
from zeroskew.declarations.model_spec import LabelTable
from zeroskew.features.offline_store.errors import SourceError

JAN = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)]
NAIVE = [moment.replace(tzinfo=None) for moment in JAN]
NAN = float("nan")


def table_of(**changes: pl.Series | None) -> pl.DataFrame:
    """Return two labelled rows, the later one first."""
    table = pl.DataFrame(
        {
            "shop": ["a", "b"],
            "at": [JAN[1], JAN[0]],
            "event_timestamp": [JAN[1], JAN[0]],
            "known_at": [JAN[2]] * 2,
            "sold": [1.0, 2.0],
        }
    )
    kept = {name: series for name, series in changes.items() if series is not None}
    return table.with_columns(**kept).drop(set(changes) - set(kept))


def write(lake: Path, *parts: pl.DataFrame | None) -> Path:
    (lake / "labels").mkdir()
    for name, part in zip("abc", parts, strict=False):
        if part is not None:
            part.write_parquet(lake / "labels" / f"{name}.parquet")
    return lake


def spec_of(**fields: tuple[FieldType, bool]) -> Any:
    request = [
        RequestField(name=name, type=kind, description=name, example=None, nullable=nullable)
        for name, (kind, nullable) in fields.items()
    ]
    return tiny_spec(
        request=tuple(request),
        columns=(),
        labels=LabelTable(table="labels", label=pl.col("sold"), known_at="known_at"),
        parameters={"objective": "regression"},
        output=Output(kind="value", description="Sales."),
    )


TWO = spec_of(shop=(FieldType.STRING, True), at=(FieldType.TIMESTAMP, True))


def test_rows_are_ordered_by_prediction_time(tmp_path: Path) -> None:
    read = load_labels(write(tmp_path, table_of()), TWO)
    assert read.request["shop"].to_list() == ["b", "a"]
    assert read.labels["label"].to_list() == [2.0, 1.0]


def test_rows_that_lack_a_time_a_label_or_its_moment_are_left_out_and_counted(
    tmp_path: Path,
) -> None:
    table = pl.concat([table_of()] * 4).with_columns(
        shop=pl.Series(list("abcdefgh")),
        event_timestamp=pl.Series([None, *JAN, *JAN[:3]]),
        sold=pl.Series([1.0, None, None, 4.0, 5.0, 6.0, 7.0, 8.0]),
        known_at=pl.Series([*JAN[:3], None, None, None, JAN[3], JAN[3]]),
    )
    read = load_labels(write(tmp_path, table), TWO)
    assert sorted(read.request["shop"]) == ["g", "h"]
    assert read.left_out == {"event_timestamp": 1, "label": 2, "known_at": 3}


TIMES = {
    "naive is UTC": (pl.Series([NAIVE[1], NAIVE[0]]), timedelta(0)),
    "another zone": (
        pl.Series([JAN[1], JAN[0]]).dt.convert_time_zone("America/New_York"),
        timedelta(0),
    ),
    "milliseconds": (pl.Series([JAN[1], JAN[0]]).dt.cast_time_unit("ms"), timedelta(0)),
    "nanoseconds, cut off": (
        pl.Series([JAN[1], JAN[0]]).dt.cast_time_unit("ns") + pl.duration(nanoseconds=999),
        timedelta(0),
    ),
    "across the change of clocks": (
        pl.Series([datetime(2024, 11, 3, 6, 30, tzinfo=UTC), JAN[0]]).dt.convert_time_zone(
            "America/New_York"
        ),
        datetime(2024, 11, 3, 6, 30, tzinfo=UTC) - JAN[1],
    ),
}


@pytest.mark.parametrize("column", ["event_timestamp", "known_at", "at"])
@pytest.mark.parametrize(("times", "later"), TIMES.values(), ids=TIMES.keys())
def test_times_of_any_zone_and_unit_are_instants(
    tmp_path: Path, times: Any, later: timedelta, column: str
) -> None:
    if isinstance(times, pl.Expr):
        times = pl.select(times).to_series()
    read = load_labels(write(tmp_path, table_of(**{column: times})), TWO)
    found = pl.concat([read.request, read.labels], how="horizontal").rename(
        {"label_known_at": "known_at"}
    )[column]
    assert found.dtype == pl.Datetime("us", "UTC")
    assert sorted(found) == [JAN[0], JAN[1] + later]


def test_times_that_spark_writes_are_instants(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    path = tmp_path / "labels" / "a.parquet"
    pq.write_table(table_of().to_arrow(), path, use_deprecated_int96_timestamps=True)
    assert load_labels(tmp_path, TWO).labels["event_timestamp"].to_list() == JAN[:2]


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["a", "b"])], ids=str)
def test_text_of_any_kind_is_text(tmp_path: Path, dtype: Any) -> None:
    table = table_of(shop=pl.Series(["a", "b"], dtype=dtype))
    shops = load_labels(write(tmp_path, table), TWO).request["shop"]
    assert shops.dtype == pl.String
    assert shops.to_list() == ["b", "a"]


def test_a_column_that_is_nowhere_but_null_has_the_declared_type(tmp_path: Path) -> None:
    kinds = {kind.value: (kind, True) for kind in FieldType}
    table = table_of().with_columns(pl.lit(None).alias(name) for name in kinds)
    request = load_labels(write(tmp_path, table), spec_of(**kinds)).request
    assert request.dtypes == [
        pl.String,
        pl.Int64,
        pl.Float64,
        pl.Boolean,
        pl.Datetime("us", "UTC"),
    ]
    assert request.null_count().row(0) == (2,) * 5


HALVES = [table_of()[:1], table_of()[1:]]
NO_NUMBER = pl.Series("sold", [None], dtype=pl.Null)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (HALVES[0].with_columns(pl.col("sold").cast(pl.Int64)), HALVES[1]),
        (HALVES[0].with_columns(pl.col("sold").cast(pl.Float32)), HALVES[1]),
        (HALVES[0].with_columns(pl.col("sold").cast(pl.Int8)), HALVES[1].cast({"sold": pl.Int64})),
        (HALVES[0].cast({"sold": pl.UInt64}), HALVES[1].cast({"sold": pl.Int16})),
        (HALVES[0].cast({"sold": pl.Decimal(9, 2)}), HALVES[1].cast({"sold": pl.Decimal(9, 4)})),
        (HALVES[0].with_columns(shop=pl.lit("a", pl.Categorical)), HALVES[1]),
        (HALVES[0].with_columns(pl.col("at").dt.replace_time_zone(None)), HALVES[1]),
        (HALVES[0], HALVES[1].with_columns(pl.col("at").dt.convert_time_zone("Asia/Kolkata"))),
        (HALVES[0].with_columns(pl.col("at").dt.cast_time_unit("ns")), HALVES[1]),
        (HALVES[0].select(reversed(HALVES[0].columns)), HALVES[1]),
        (HALVES[0].with_columns(more=1), HALVES[1]),
        (HALVES[0].clear(), table_of()),
        (table_of(), HALVES[0].clear().cast({"sold": pl.Int32})),
    ],
    ids=str,
)
def test_part_files_of_types_that_hold_one_another_are_one_table(
    tmp_path: Path, first: pl.DataFrame, second: pl.DataFrame
) -> None:
    read = load_labels(write(tmp_path, first, second), TWO)
    assert read.labels["label"].to_list() == [2.0, 1.0]
    assert read.request.rows() == [("b", JAN[0]), ("a", JAN[1])]


def test_a_file_that_is_nowhere_but_null_has_the_types_of_the_others(tmp_path: Path) -> None:
    first = table_of().with_columns(pl.lit(None).alias("sold"), pl.lit(None).alias("shop"))
    read = load_labels(write(tmp_path, first, table_of()), TWO)
    assert read.labels["label"].to_list() == [2.0, 1.0]
    assert read.left_out == {"label": 2}


BEYOND = 2**53 + 1


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([table_of(), table_of(sold=None)], r"file 'b\.parquet' of .*'labels' without .*'sold'"),
        ([table_of(shop=None), table_of()], r"file 'a\.parquet' of .*'labels' without .*'shop'"),
        (
            [table_of(), table_of(shop=pl.Series([1, 2]))],
            r"'shop' of type Int64 in file 'b\.parquet' of .*'labels', .* as in 'a\.parquet'",
        ),
        (
            [table_of(sold=pl.Series([1, BEYOND])), table_of()],
            rf"Got {BEYOND} in column 'sold' of file 'a\.parquet' of label table 'labels'",
        ),
        ([table_of(), table_of(at=pl.Series([date(2024, 1, 1)] * 2))], r"type Date in file 'b"),
        ([table_of(), table_of()], r"Got 2 repeated rows in 'labels'"),
    ],
    ids=["column gone", "column new", "text and numbers", "lossy", "date", "twice"],
)
def test_part_files_that_differ_in_meaning_are_named(
    tmp_path: Path, parts: list[pl.DataFrame], message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as refused:
        load_labels(write(tmp_path, *parts), TWO)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"event_timestamp": pl.Series([date(2024, 1, 1)] * 2)}, "Date .* which moment of the day"),
        ({"known_at": pl.Series([date(2024, 1, 1)] * 2)}, "'known_at' of type Date"),
        ({"known_at": pl.Series(["soon", "later"])}, "Got column 'known_at' of type String"),
        ({"event_timestamp": pl.Series([1, 2])}, "'event_timestamp' of type Int64.*expected times"),
        ({"shop": pl.Series([1, 2])}, "Got column 'shop' of type Int64.*but expected text"),
        ({"sold": pl.Series(["yes", "no"])}, "Got labels of type String for 'regression'"),
        ({"sold": pl.Series([1.0, NAN])}, r"Got label nan in 1 of 2 rows of 'labels'"),
        ({"sold": pl.Series([float("inf"), 1.0])}, r"Got label inf in 1 of 2 rows"),
        ({"sold": pl.Series([1e39, 1.0])}, r"Got label 1e\+39 in 1 of 2 rows"),
        ({"sold": pl.Series([BEYOND, 1])}, f"Got label {BEYOND} in 1 of 2 .*that float64 holds"),
        ({"sold": pl.Series([None, None], dtype=pl.Float64)}, "no labelled row.*2 without label"),
        ({"known_at": pl.Series([None, None], dtype=pl.Null)}, "row.*2 without known_at"),
        ({"event_timestamp": pl.Series([None, None], dtype=pl.Datetime)}, "2 without event_time"),
        ({"at": pl.Series([2**62, 0]).cast(pl.Datetime("ms", "UTC"))}, "'at' that no 64 bits"),
        ({"shop": None}, r"label table 'labels' without columns \['shop'\].* among at, event"),
        ({"sold": None}, r"label table 'labels' without columns \['sold'\]"),
    ],
)
def test_a_table_that_is_not_what_the_model_declares_is_refused_in_a_sentence(
    tmp_path: Path, changes: dict[str, pl.Series | None], message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as refused:
        load_labels(write(tmp_path, table_of(**changes)), TWO)
    assert len(str(refused.value)) < 200
    assert "\n" not in str(refused.value)


VALUES: dict[str, tuple[FieldType, pl.Series, str]] = {
    "unsigned": (FieldType.INTEGER, pl.Series([2**63, 1], dtype=pl.UInt64), "64 bits"),
    "whole floats": (FieldType.INTEGER, pl.Series([1.0, 2.0]), "Float64 .*expected whole numbers"),
    "decimals": (FieldType.INTEGER, pl.Series([Decimal(1), Decimal(2)]), "expected whole numbers"),
    "beyond float64": (FieldType.NUMBER, pl.Series([BEYOND, 1]), "declare it an integer"),
    "of 128 bits": (FieldType.NUMBER, pl.Series([BEYOND, 1], dtype=pl.Int128), "declare it an"),
    "unsigned of 128 bits": (FieldType.NUMBER, pl.Series([2**70 + 1] * 2, dtype=pl.UInt128), "64"),
    "whole decimals": (FieldType.NUMBER, pl.Series([Decimal(BEYOND)] * 2), "that float64 holds"),
    "wide": (FieldType.INTEGER, pl.Series([-(2**63) - 1, 1], dtype=pl.Int128), "64 bits"),
    "infinite": (FieldType.NUMBER, pl.Series([float("-inf"), 1.0]), "within float32"),
    "beyond float32": (FieldType.NUMBER, pl.Series([3.5e38, 1.0]), "within float32"),
    "numbers": (FieldType.BOOLEAN, pl.Series([0, 1]), "expected booleans"),
    "text": (FieldType.TIMESTAMP, pl.Series(["2024-01-01", ""]), "expected times"),
    "null": (FieldType.INTEGER, pl.Series([None, 1]), "1 labelled rows without 'n'"),
    "NaN": (FieldType.NUMBER, pl.Series([NAN, 1.0]), "1 labelled rows without 'n'"),
}


@pytest.mark.parametrize(("kind", "values", "message"), VALUES.values(), ids=VALUES.keys())
def test_a_value_that_the_service_would_refuse_is_refused(
    tmp_path: Path, kind: FieldType, values: pl.Series, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        load_labels(write(tmp_path, table_of(n=values)), spec_of(n=(kind, False)))


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Int128, pl.Decimal(38, 0), pl.Float64])
def test_a_whole_number_that_the_service_takes_is_taken(tmp_path: Path, dtype: Any) -> None:
    values = pl.Series([2**60, 2**53 + 2]).cast(dtype)
    read = load_labels(write(tmp_path, table_of(n=values)), spec_of(n=(FieldType.NUMBER, False)))
    assert read.request["n"].to_list() == [2.0**53 + 2, 2.0**60]


def test_the_least_of_64_bits_is_read_beside_unsigned_ones(tmp_path: Path) -> None:
    least = table_of(n=pl.Series([-(2**63), 1], dtype=pl.Int128))
    other = table_of(n=pl.Series([5, 6], dtype=pl.UInt8)).with_columns(shop=pl.lit("c"))
    read = load_labels(write(tmp_path, least, other.head(1)), spec_of(n=(FieldType.INTEGER, False)))
    assert sorted(read.request["n"]) == [-(2**63), 1, 5]


def test_a_value_that_is_none_of_the_choices_is_refused(tmp_path: Path) -> None:
    size = RequestField(
        name="size", type=FieldType.STRING, description="", example="S", choices=("S", "M")
    )
    table = table_of(size=pl.Series(["S", "XL"]))
    with pytest.raises(DatasetError, match=r"Got 'XL' in column 'size'.*the field's choices"):
        load_labels(write(tmp_path, table), tiny_spec(request=(size,), columns=()))


def test_a_schema_is_judged_without_reading_a_row() -> None:
    schema = table_of().schema
    assert find_schema_faults(TWO, schema) == []
    faults = find_schema_faults(TWO, pl.Schema({**schema, "at": pl.Int8(), "shop": pl.Date()}))
    assert ["'shop'" in faults[0], "'at'" in faults[1], len(faults)] == [True, True, 2]


def test_a_table_that_is_missing_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="run `zeroskew prepare` first"):
        load_labels(tmp_path, TWO)


def test_a_column_that_is_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    folder = tmp_path / "labels" / "shop=a"
    folder.mkdir(parents=True)
    table_of(shop=None).write_parquet(folder / "a.parquet")
    with pytest.raises(DatasetError, match=r"\['shop'\] are names of folders"):
        load_labels(tmp_path, TWO)


@pytest.mark.parametrize("content", [b"", b"shop,sold", b"PAR1" * 20], ids=["empty", "csv", "cut"])
def test_a_file_that_is_not_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, table_of())
    (tmp_path / "labels" / "b.parquet").write_bytes(content)
    with pytest.raises(TrainingError, match=r"file 'b\.parquet' of label table 'labels'.*Parquet"):
        load_labels(tmp_path, TWO)


@pytest.mark.parametrize(
    "label", [pl.col("shop") + 1.5, pl.col("shop").str.split("-").list.get(5)], ids=str
)
def test_a_label_that_cannot_be_computed_is_said_in_a_sentence(
    tmp_path: Path, label: pl.Expr
) -> None:
    labels = LabelTable(table="labels", label=label, known_at="known_at")
    write(tmp_path, table_of())
    with pytest.raises(DatasetError, match="from the label's expression on 'labels'"):
        load_labels(tmp_path, tiny_spec(labels=labels))


def test_a_file_that_breaks_between_is_not_the_labels_fault(tmp_path: Path) -> None:
    write(tmp_path, table_of())
    parts = open_label_table(tmp_path, TWO)
    for path in (tmp_path / "labels").rglob("*.parquet"):
        path.write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="'labels' that cannot be read"):
        read_columns(parts, TWO)


@pytest.mark.parametrize("name", ["label", "label_known_at", "span", "row", "field:at", "known_at"])
def test_a_field_may_have_a_name_of_the_trainer(tmp_path: Path, name: str) -> None:
    numbers = pl.Series(name, [JAN[2], JAN[3]]) if name == "known_at" else pl.Series([7.5, 8.5])
    kind = FieldType.TIMESTAMP if name == "known_at" else FieldType.NUMBER
    read = load_labels(
        write(tmp_path, table_of(**{name: numbers})), spec_of(**{name: (kind, True)})
    )
    assert read.request.columns == [name]
    assert read.request[name].to_list() == numbers.to_list()[::-1]
    assert read.labels["label"].to_list() == [2.0, 1.0]
