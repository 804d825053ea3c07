"""The card of a version, in Markdown."""

import re

from tests.support.app_client import AppClient


def test_a_card_says_what_the_manifest_says(client: AppClient) -> None:
    response = client.get("/v1/models/is_late/versions/1/card")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    card = response.text
    assert card.startswith("# is_late, version 1\n\n")
    for part in (
        "- aliases: champion",
        "- threshold: the label is true from 0.5 on",
        "| `carrier` | string | UA, AA, DL | The airline's two-letter code. |",
        "| `route_stats` | `dest`, `origin` | for ever | null | `flights`, `share` |",
        "Computed in the graph when asked for: `minutes_past`.",
        "- family: lightgbm",
    ):
        assert part in card, card
    sections = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert sections == [
        "Version",
        "Answer",
        "Request",
        "Metrics",
        "Data",
        "Features",
        "How it was made",
    ]
    again = client.get(
        "/v1/models/is_late/versions/1/card", headers={"if-none-match": response.headers["etag"]}
    )
    assert again.status_code == 304


def test_there_is_no_card_of_what_is_not_there(client: AppClient) -> None:
    assert client.get("/v1/models/nope/versions/1/card").json()["code"] == "unknown_model"
    assert client.get("/v1/models/is_late/versions/9/card").json()["code"] == "unknown_version"
