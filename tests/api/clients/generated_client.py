"""Calls every operation of the service by a client that openapi-python-client made.

It runs in that generator's environment, with the address of a service of
tests/support/whole_service.py and the folder in which the client's package ``trial_client`` is.
Every answer has to be what the document says: the client's types say again what came. It prints
how many operations were called, and how many answers and refusals were read.
"""

import importlib
import io
import json
import pkgutil
import re
import sys
from datetime import datetime
from typing import Any

URL, FOLDER = sys.argv[1:]
sys.path.insert(0, FOLDER)

api = importlib.import_module("trial_client.api")
models = importlib.import_module("trial_client.models")
types = importlib.import_module("trial_client.types")
Client = importlib.import_module("trial_client").Client

KNOWN = Client(base_url=URL, raise_on_unexpected_status=True)
ELSEWHERE = KNOWN.with_headers({"Host": "elsewhere.example"})
REFUSALS = (models.Problem, models.InferenceError)
MODEL = "arrival_delay"
UNKNOWN = "00000000-0000-7000-8000-000000000001"
FIELDS = {
    "origin": "EWR",
    "dest": None,
    "seats": 100,
    "distance": 1400.5,
    "international": False,
    "scheduled_departure": datetime.fromisoformat("2013-10-01T10:17:00-04:00"),
}
COLUMNS = {name: [value] for name, value in FIELDS.items()}
GATES = {"gate_number": [1], "walk": [7], "known_at": ["2013-10-01T11:59:00Z"]}
counts: dict[str, int] = {"answers": 0, "refusals": 0}
called: set[str] = set()


def list_operations() -> dict[str, Any]:
    """Return the module of each operation by its name, without the tag."""
    found: dict[str, Any] = {}
    for tag in pkgutil.iter_modules(api.__path__):
        package = importlib.import_module(f"{api.__name__}.{tag.name}")
        for one in pkgutil.iter_modules(package.__path__):
            found[one.name] = importlib.import_module(f"{package.__name__}.{one.name}")
    return found


OPERATIONS = list_operations()


def call(name: str, status: int = 200, /, *, client: Any = KNOWN, **arguments: Any) -> Any:
    """Call an operation, hold what is read equal to what came, and return it."""
    answer = OPERATIONS[name].sync_detailed(client=client, **arguments)
    assert answer.status_code == status, (name, answer.status_code, answer.content)
    called.add(name)
    assert isinstance(answer.parsed, REFUSALS) == (status >= 400), (name, answer.parsed)
    counts["refusals" if status >= 400 else "answers"] += 1
    if "json" in answer.headers.get("content-type", ""):
        assert say_again(answer.parsed) == same_times(json.loads(answer.content)), name
    else:
        assert (answer.parsed or "") == answer.content.decode(), name
    if client is KNOWN:
        call(name, 403, client=ELSEWHERE, **arguments)
    return answer.parsed


def say_again(parsed: Any) -> Any:
    """Return what was read as JSON has it."""
    if isinstance(parsed, list):
        return [say_again(one) for one in parsed]
    return same_times(parsed.to_dict() if hasattr(parsed, "to_dict") else parsed)


def same_times(node: Any) -> Any:
    """Write each instant in one way."""
    if isinstance(node, dict):
        return {name: same_times(value) for name, value in node.items()}
    if isinstance(node, list):
        return [same_times(value) for value in node]
    if isinstance(node, str) and re.match(r"\d{4}-\d\d-\d\dT", node):
        return datetime.fromisoformat(node).isoformat()
    return node


def predict_by_models() -> None:
    kinds = {MODEL: "ArrivalDelayV1", "delay_class": "DelayClassV1", "is_late": "IsLateV1"}
    for model, kind in kinds.items():
        predict_by_type(f"v1_models_{model}_predict", kind)
        predict_by_type(f"v1_models_{model}_versions_1_predict", kind)
        tensors = infer(f"v2_models_{model}_infer")
        assert [one.shape[0] for one in tensors.outputs] == [1] * len(tensors.outputs)
    for place in ("labels_challenger", "versions_2"):
        predict_by_type(f"v1_models_{MODEL}_{place}_predict", "ArrivalDelayV2")


def predict_by_type(name: str, kind: str) -> None:
    """Score by rows, with and without overrides, and by columns."""

    def of(part: str) -> Any:
        return getattr(models, kind + part)

    carrier = of("InstanceCarrier").UA
    instance = of("Instance")(carrier=carrier, **FIELDS)
    plain = call(name, body=of("Request")(instances=[instance]), with_features=True)
    assert isinstance(plain, of("Response"))
    instance.overrides = of("Overrides").from_dict({"carrier_stats:mean_delay": 9.5})
    other = call(name, body=of("Request")(instances=[instance]))
    assert other.overridden == [["carrier_stats:mean_delay"]]
    carriers = [of("ColumnsCarrierItem").UA]
    columns = of("Columns")(carrier=carriers, **COLUMNS)
    answer = call(name, body=of("ColumnsRequest")(inputs=columns))
    assert isinstance(answer, of("ColumnsResponse"))
    alone = next(iter(getattr(models, name.title().replace("_", "") + "Output")))
    rows = call(name, body=of("Request")(instances=[instance]), output=alone)
    assert isinstance(rows, models.OneOutputResponse)
    assert len(call(name, body=of("ColumnsRequest")(inputs=columns), output=alone).outputs) == 1
    instance.seats = "many"
    refused = call(name, 422, body=of("Request")(instances=[instance]))
    assert refused.code == "invalid_instances"
    assert refused.errors[0].pointer == "/instances/0/seats"


def predict_by_names() -> str:
    places: dict[str, dict[str, Any]] = {
        "predict_v1_models_model_predict_post": {},
        "predict_with_version_v1_models_model_versions_version_predict_post": {"version": "1"},
        "predict_with_alias_v1_models_model_labels_alias_predict_post": {"alias": "champion"},
    }
    fields = FIELDS | {"carrier": "UA", "scheduled_departure": "2013-10-01T10:17:00-04:00"}
    rows = models.PredictionRequest(instances=[models.Instance.from_dict(fields)])
    lists = {name: [value] for name, value in fields.items()}
    columns = models.PredictionColumnsRequest(inputs=models.PredictionColumns.from_dict(lists))
    for name, place in places.items():
        for model in (MODEL, "delay_class", "is_late"):
            answer = call(name, model=model, body=rows, with_features=True, **place)
            assert isinstance(answer, models.PredictionResponse)
            answer = call(name, model=model, body=columns, **place)
            assert isinstance(answer, models.PredictionColumnsResponse)
        assert call(name, 404, model="nobody", body=rows, **place).code == "unknown_model"
    answered: str = call("predict_v1_models_model_predict_post", model=MODEL, body=rows).id
    return answered


def infer(name: str, **place: Any) -> Any:
    """Score tensors in JSON and in binary."""
    values: dict[str, tuple[str, Any]] = {
        "carrier": ("BYTES", "UA"),
        "origin": ("BYTES", "EWR"),
        "dest": ("BYTES", "IAH"),
    }
    values |= {"seats": ("INT64", 100), "distance": ("FP64", 1400.5)}
    values |= {
        "international": ("BOOL", False),
        "scheduled_departure": ("BYTES", "2013-10-01T10:17:00-04:00"),
    }
    tensors = [
        models.InferenceInput(name=field, shape=[1, 1], datatype=kind, data=[value])
        for field, (kind, value) in values.items()
    ]
    answer = call(name, body=models.InferenceRequest(inputs=tensors), **place)
    head = models.InferenceRequest(inputs=tensors).to_dict()
    seats = head["inputs"][3]
    del seats["data"]
    seats["parameters"] = {"binary_data_size": 8}
    text = json.dumps(head).encode()
    payload = io.BytesIO(text + (100).to_bytes(8, "little"))
    # A file is read to its end once, and the service is called twice.
    for client, status in ((KNOWN, 200), (ELSEWHERE, 403)):
        payload.seek(0)
        told = OPERATIONS[name].sync_detailed(
            client=client,
            body=types.File(payload=payload),
            inference_header_content_length=len(text),
            **place,
        )
        assert told.status_code == status, told.content
    tensors[3].datatype = "BYTES"
    assert call(name, 400, body=models.InferenceRequest(inputs=tensors), **place).error
    return answer


def infer_by_names() -> None:
    infer("infer_v2_models_model_infer_post", model=MODEL)
    infer(
        "infer_with_version_v2_models_model_versions_version_infer_post", model=MODEL, version="1"
    )


def read_documents() -> None:
    for name in ("livez_livez_get", "readyz_readyz_get", "show_landing_page_get"):
        call(name)
    call("metrics_metrics_get")
    call("list_models_v1_models_get")
    version: dict[str, Any] = {"version": "1"}
    alias: dict[str, Any] = {"alias": "champion"}
    roots: dict[str, dict[str, Any]] = {
        "get_model_v1_models_model_get": {},
        "get_metadata_v1_models_model_metadata_get": {},
        "get_version_v1_models_model_versions_version_get": version,
        "get_card_v1_models_model_versions_version_card_get": version,
        "get_version_metadata_v1_models_model_versions_version_metadata_get": version,
        "get_alias_v1_models_model_labels_alias_get": alias,
        "get_alias_metadata_v1_models_model_labels_alias_metadata_get": alias,
        "get_history_v1_models_model_history_get": {"limit": 5, "before": 1000},
    }
    for name, place in roots.items():
        call(name, model=MODEL, **place)
        assert call(name, 404, model="nobody", **place).code == "unknown_model"


def read_inference_documents() -> None:
    for name in ("get_server_v2_get", "get_live_v2_health_live_get", "list_models_v2_models_get"):
        call(name)
    call("get_ready_v2_health_ready_get")
    call("get_all_statistics_v2_models_stats_get")
    assert call("list_versions_v2_repository_index_post", body=models.IndexRequest(ready=True))
    call("list_versions_v2_repository_index_post")
    version: dict[str, Any] = {"version": "1"}
    roots: dict[str, dict[str, Any]] = {
        "get_model_v2_models_model_get": {},
        "get_model_ready_v2_models_model_ready_get": {},
        "get_config_v2_models_model_config_get": {},
        "get_statistics_v2_models_model_stats_get": {},
        "get_version_v2_models_model_versions_version_get": version,
        "get_version_ready_v2_models_model_versions_version_ready_get": version,
        "get_version_config_v2_models_model_versions_version_config_get": version,
        "get_version_statistics_v2_models_model_versions_version_stats_get": version,
    }
    for name, place in roots.items():
        call(name, model=MODEL, **place)
        assert call(name, 404, model="nobody", **place).error


def follow_a_prediction(prediction_id: str) -> None:
    shown = OPERATIONS["get_prediction_v1_predictions_id_get"]
    while shown.sync_detailed(id=prediction_id, client=KNOWN).status_code == 404:
        pass  # It is written beside the answer; the one who started this sets the deadline.
    call("get_prediction_v1_predictions_id_get", id=prediction_id)
    call("get_prediction_v1_predictions_id_get", 404, id=UNKNOWN)
    assert call("replay_v1_predictions_id_replay_post", id=prediction_id).is_equal
    call("replay_v1_predictions_id_replay_post", 404, id=UNKNOWN)
    label = models.GivenLabel(
        prediction_id=prediction_id,
        value=3.5,
        observed_at=datetime.fromisoformat("2013-10-01T12:00:00Z"),
    )
    call("give_feedback_v1_feedback_post", body=models.FeedbackRequest(labels=[label]))
    assert call("list_feedback_v1_feedback_get", prediction_id=prediction_id).labels[0].value == 3.5
    call("give_feedback_v1_feedback_post", 422, body=models.FeedbackRequest(labels=[]))
    call("list_feedback_v1_feedback_get", 422, prediction_id="?")


def change_registry() -> None:
    alias: dict[str, Any] = {"model": MODEL, "alias": "trial"}
    put, delete = (
        f"{verb}_alias_v1_models_model_labels_alias_{verb}" for verb in ("put", "delete")
    )
    call(put, body=models.AliasMove(version=2), **alias)
    refused = call(put, 412, body=models.AliasMove(version=1), if_match='"r999"', **alias)
    assert refused.code == "revision_conflict"
    call(delete, 204, body=models.Change(reason="A trial."), **alias)
    call(delete, 404, **alias)

    put, get, delete = (
        f"{verb}_rollout_v1_models_model_rollout_{verb}" for verb in ("put", "get", "delete")
    )
    arms = [
        models.Arm(name="old", weight=0.5, alias="champion"),
        models.Arm(name="new", weight=0.5, alias="challenger"),
    ]
    rollout = models.Rollout(kind=models.RolloutKind.CANARY, arms=arms)
    call(put, model=MODEL, body=models.RolloutChange(rollout=rollout))
    call(get, model=MODEL)
    call(delete, 204, model=MODEL)
    call(get, 404, model=MODEL)
    arms[0].weight = 0.25
    call(put, 422, model=MODEL, body=models.RolloutChange(rollout=rollout))
    call(delete, 404, model=MODEL)

    version: dict[str, Any] = {"model": "delay_class", "version": "1"}
    deprecate, reactivate, retire = (
        f"{verb}_v1_models_model_versions_version_{verb}_post"
        for verb in ("deprecate", "reactivate", "retire")
    )
    sunset = datetime.fromisoformat("2030-01-01T00:00:00+00:00")
    call(deprecate, body=models.Deprecation(sunset_at=sunset), **version)
    call(reactivate, **version)
    assert call(retire, 409, **version).code == "registry_conflict"
    champion: dict[str, Any] = {"model": "delay_class", "alias": "champion"}
    call("delete_alias_v1_models_model_labels_alias_delete", 204, **champion)
    call(retire, body=models.Change(reason="A trial."), **version)
    call(deprecate, 409, **version)
    shown = "get_version_v2_models_model_versions_version_get"
    assert call(shown, 410, **version).error
    call(reactivate, **version)
    call(reactivate, 404, model="nobody", version="1")


def speak_to_feast() -> None:
    call("health_feast_health_get")
    ask, push, write = (
        "get_online_features_feast_get_online_features_post",
        "push_feast_push_post",
        "write_to_online_store_feast_write_to_online_store_post",
    )
    frame = models.PushRequestDf.from_dict(GATES | {"wait": [1.5]})
    call(push, body=models.PushRequest(push_source_name="gate_push", df=frame))
    call(push, 404, body=models.PushRequest(push_source_name="nobody", df=frame))
    frame = models.WriteRequestDf.from_dict(GATES)
    call(write, body=models.WriteRequest(feature_view_name="gate", df=frame))
    call(write, 404, body=models.WriteRequest(feature_view_name="nobody", df=frame))
    entities = models.OnlineFeaturesRequestEntities.from_dict({"gate_number": [1, 2, None]})
    read = call(ask, body=models.OnlineFeaturesRequest(entities=entities, features=["gate:walk"]))
    assert read.results[1].values == [7, None, None]
    call(ask, 422, body=models.OnlineFeaturesRequest(entities=entities))
    events = [models.EventsRequestEventsItem.from_dict({"gate_number": 1})]
    take, given = "take_events_v1_events_source_post", models.EventsRequest(events=events)
    call(take, 404, source="gate_push", body=given)


predict_by_models()
prediction = predict_by_names()
infer_by_names()
read_documents()
read_inference_documents()
follow_a_prediction(prediction)
speak_to_feast()
change_registry()
assert called == set(OPERATIONS), set(OPERATIONS) - called
print(f"{len(called)} operations, {counts['answers']} answers, {counts['refusals']} refusals")  # noqa: T201 - the test reads it
