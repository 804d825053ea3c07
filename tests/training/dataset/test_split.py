from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from pydantic import ValidationError

from training.dataset.split import assign_spans
from zeroskew.contract.errors.project import DatasetError
from zeroskew.declarations.model_spec import TimeSplit

MICROSECOND = timedelta(microseconds=1)


def day(number: int) -> datetime:
    return datetime(2023, 12, 31, tzinfo=UTC) + timedelta(days=number)


SPLIT = TimeSplit(train_from=day(1), validation_from=day(10), test_from=day(20), test_until=day(30))


def label_rows(*times: tuple[datetime, datetime]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "event_timestamp": [predicted for predicted, _ in times],
            "label_known_at": [known for _, known in times],
        },
        schema_overrides={
            "event_timestamp": pl.Datetime("us", "UTC"),
            "label_known_at": pl.Datetime("us", "UTC"),
        },
    )


FILLED = [(day(n), day(n) + MICROSECOND) for n in (2, 12, 22)]


@pytest.mark.parametrize(
    ("predicted", "known", "span"),
    [
        pytest.param(day(1), day(2), "train", id="first moment of train"),
        pytest.param(day(1) - MICROSECOND, day(2), None, id="just before train"),
        pytest.param(day(10) - MICROSECOND, day(10) - MICROSECOND, "train", id="last moment"),
        pytest.param(day(9), day(10), None, id="train label known only as validation begins"),
        pytest.param(day(10), day(11), "validation", id="first moment of validation"),
        pytest.param(day(19), day(20), None, id="validation label known only as test begins"),
        pytest.param(day(20), day(21), "test", id="first moment of test"),
        pytest.param(day(29), day(40), "test", id="test label known long after"),
        pytest.param(day(30), day(31), None, id="end is excluded"),
    ],
)
def test_span_of_a_row(predicted: datetime, known: datetime, span: str | None) -> None:
    spanned = assign_spans(label_rows(*FILLED, (predicted, known)), SPLIT)
    assert spanned["span"].to_list() == ["train", "validation", "test", *([span] if span else [])]


def test_label_of_unknown_moment_is_left_out_of_train() -> None:
    rows = label_rows(*FILLED, (day(3), day(4)))
    rows[3, "label_known_at"] = None
    assert assign_spans(rows, SPLIT).height == 3


def test_empty_span_is_refused_by_name() -> None:
    with pytest.raises(DatasetError, match="no labelled row in the validation span"):
        assign_spans(label_rows(FILLED[0], FILLED[2]), SPLIT)


def test_split_out_of_order_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected each to be later"):
        TimeSplit(train_from=day(1), validation_from=day(9), test_from=day(9), test_until=day(20))
