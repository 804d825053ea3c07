"""A model that is not what was published, or contradicts itself, is refused with the reason."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.manifests import (
    EXAMPLE,
    FIELDS,
    PLAN,
    batch_mean_graph,
    golden_row,
    make_manifest,
    publish,
    sum_graph,
)
from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.contract.manifest import (
    Column,
    FieldType,
    GoldenKey,
    JoinKey,
    Output,
    RequestField,
    RequestInput,
)
from zeroskew.model.load_gate import ActiveModel, load_model
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

GRAPH = sum_graph(6, 2)
LIMITS = InstanceLimits(max_instances=10, max_text_length=20)
CARRIER_VIEW, ROUTE_VIEW = PLAN.views


def load(folder: Path) -> ActiveModel:
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    registered = registry.get_version("arrival_delay", 1)
    registry.close()
    return load_model(registered, ArtifactStore(folder / "artifacts"), LIMITS)


def test_a_sound_model_is_loaded(tmp_path: Path) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    loaded = load(tmp_path)
    assert (loaded.name, loaded.version, loaded.plan.n_columns) == ("arrival_delay", 1, 6)
    assert loaded.session.inline_rows >= 1


def plan_with(**changes: Any) -> dict[str, Any]:
    return {"plan": PLAN.model_copy(update=changes)}


def views_with(**changes: Any) -> dict[str, Any]:
    return plan_with(views=(CARRIER_VIEW, ROUTE_VIEW.model_copy(update=changes)))


def column_with(column: Column) -> dict[str, Any]:
    return plan_with(columns=(column, *PLAN.columns[1:]))


def fields_with(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "request": tuple(
            field.model_copy(update=changes) if field.name == name else field for field in FIELDS
        )
    }


def inputs_with(*fields: str) -> dict[str, Any]:
    return plan_with(
        request_inputs=tuple(RequestInput(name=field, field=field) for field in fields)
    )


def feature_input(view: str, feature: str) -> dict[str, Any]:
    source = RequestInput(name="x", view=view, feature=feature)
    return plan_with(request_inputs=(source, RequestInput(name="y", field="seats")))


def moments(*sources: RequestInput) -> dict[str, Any]:
    return plan_with(request_inputs=sources)


def twice_as_input(view: str, feature: str) -> dict[str, Any]:
    sources = (RequestInput(name=name, view=view, feature=feature) for name in ("x", "y"))
    return plan_with(request_inputs=tuple(sources))


ROW = golden_row(GRAPH, [0.25] * 6, [1.5] * 2)
OTHER_ROW = golden_row(GRAPH, [0.5] * 6, [1.5] * 2)
FLIPPED = ROW.model_copy(update={"scores": OTHER_ROW.scores})
SHORT = ROW.model_copy(update={"features": ROW.features[8:]})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"golden_rows": (ROW, FLIPPED)}, "another score than published for golden row 1"),
        ({"golden_rows": (SHORT,)}, "Got 20 bytes in golden row 0, but expected 24"),
        (
            moments(
                RequestInput(name="as_of", is_moment=True, field="seats"),
                RequestInput(name="seats", field="seats"),
            ),
            "Got 'as_of' with none or several sources",
        ),
        (
            moments(*(RequestInput(name=name, is_moment=True) for name in ("as_of", "now"))),
            "Got moment 'as_of' twice",
        ),
        ({"golden_keys": ()}, r"no golden key for the views \['carrier_stats', 'route_stats'\]"),
        (
            {"golden_keys": (GoldenKey(view="carrier_stats", values=("UA",), serialized="00"),)},
            "for a golden key of view 'carrier_stats', but expected 00",
        ),
        (
            {"golden_keys": (GoldenKey(view="carrier_stats", values=(1,), serialized="00"),)},
            "a value of another type",
        ),
        ({"golden_keys": (GoldenKey(view="x", values=(), serialized=""),)}, "not fit view 'x'"),
        ({"example": EXAMPLE | {"carrier": "XX"}}, "Got an example that is not an instance"),
        ({"example": {}}, "Got an example that is not an instance"),
        ({"output": Output(kind="probability", description="")}, "without a threshold"),
        ({"output": Output(kind="probabilities", description="")}, "without classes"),
        (
            {"output": Output(kind="probabilities", description="", classes=("a", "b"))},
            r"scores of shape \(1,\) for 1 rows, but expected \(1, 2\)",
        ),
        (views_with(key_prefix="00"), "another key prefix"),
        (views_with(table="other_carrier_stats"), "but expected one of project .trial."),
        (views_with(join_keys=ROUTE_VIEW.join_keys[::-1]), "expected them once and sorted"),
        (
            views_with(join_keys=(JoinKey(name="dest", field="gate", type="STRING"),)),
            "another key prefix|no request field",
        ),
        (
            views_with(
                join_keys=tuple(
                    key.model_copy(update={"type": "INT64"}) for key in ROUTE_VIEW.join_keys
                )
            ),
            "type string for join key 'dest', but expected integer",
        ),
        (
            views_with(
                features=tuple(
                    feature.model_copy(update={"type": "FLOAT_LIST"})
                    for feature in ROUTE_VIEW.features
                )
            ),
            "'route_stats:flights' of type FLOAT_LIST",
        ),
        (views_with(features=ROUTE_VIEW.features[:1]), "no feature 'share' in view"),
        (column_with(Column(name="x", view="nope", feature="share")), "unknown view 'nope'"),
        (column_with(Column(name="x")), "none or several sources"),
        (column_with(Column(name="x", view="route_stats")), "none or several sources"),
        (
            column_with(Column(name="x", view="route_stats", feature="share", field="seats")),
            "none or several sources",
        ),
        (column_with(Column(name="x", field="nope")), "no request field 'nope'"),
        (column_with(Column(name="x", field="origin")), "'x' without categories"),
        (column_with(Column(name="x", field="seats", categories=("a",))), "'x' with categories"),
        (column_with(Column(name="x", field="scheduled_departure")), "float32 cannot hold"),
        (column_with(PLAN.columns[1]), "column 'mean_delay' twice"),
        (
            column_with(Column(name="x", field="origin", categories=("a", "a"))),
            "category of column 'x' 'a' twice",
        ),
        (inputs_with("origin", "seats"), "text field 'origin'"),
        (inputs_with("nope", "seats"), "no request field 'nope'"),
        (feature_input("route_stats", "nope"), "no feature 'nope' in view 'route_stats'"),
        (twice_as_input("route_stats", "share"), "route_stats:share as request input twice"),
        (feature_input("carrier_stats", "size"), "text 'carrier_stats:size' among the request"),
        (
            column_with(Column(name="x", view="route_stats", feature="flights")),
            "route_stats:flights as column twice",
        ),
        (
            views_with(
                features=(
                    ROUTE_VIEW.features[0].model_copy(update={"default": "many"}),
                    ROUTE_VIEW.features[1],
                )
            ),
            "default 'many' for feature 'route_stats:flights' of type INT64",
        ),
        (
            {
                "request": (
                    *FIELDS,
                    RequestField(
                        name="overrides", type=FieldType.NUMBER, description="", example=1.0
                    ),
                )
            },
            "request field 'overrides', but that name is taken",
        ),
        (fields_with("seats", choices=("a",)), "choices for 'seats' of type integer"),
        (
            {
                "request": (
                    *FIELDS,
                    RequestField(name="seats", type=FieldType.NUMBER, description="", example=1.0),
                )
            },
            "request field 'seats' twice",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    publish(tmp_path, make_manifest(GRAPH, **changes), GRAPH)
    with pytest.raises(ModelRefusedError, match=f"^Model arrival_delay version 1: .*{reason}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (b"not a graph", "damaged model file"),
        (b"", "Got a model file of 0 bytes, but expected 1"),
        (GRAPH[:-20], "damaged model file"),
        (onnx.ModelProto(ir_version=10).SerializeToString(), "cannot load"),
        (sum_graph(5, 2), r"features as tensor\(float\) \['n', 5\], but expected .* \[n_rows, 6\]"),
        (sum_graph(6, 1), r"but expected tensor\(double\) \[n_rows, 2\]"),
        (sum_graph(6, 0), r"inputs \['features'\], but expected \['features', 'request'\]"),
    ],
)
def test_a_graph_that_does_not_fit_its_plan_is_refused(
    tmp_path: Path, graph: bytes, reason: str
) -> None:
    manifest = make_manifest(graph, golden_rows=(ROW,))
    publish(tmp_path, manifest, graph)
    with pytest.raises(ModelRefusedError, match=reason):
        load(tmp_path)


def test_a_graph_whose_scores_depend_on_the_batch_is_refused(tmp_path: Path) -> None:
    graph = batch_mean_graph(6, 2)
    rows = (golden_row(graph, [0.25] * 6, [1.5] * 2), golden_row(graph, [0.5] * 6, [1.5] * 2))
    publish(tmp_path, make_manifest(graph, golden_rows=rows), graph)
    with pytest.raises(ModelRefusedError, match="golden row 0 among the others than alone"):
        load(tmp_path)


def with_tensor(place: str, location: str) -> bytes:
    """Return the sound graph with a tensor at `place` that lies in the file `location`."""
    model = onnx.load_from_string(GRAPH)
    tensor = TensorProto(name="t", dims=[1], data_type=TensorProto.DOUBLE)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "sparse":
        model.graph.sparse_initializer.add(values=tensor)
    else:
        model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))
    return bytes(model.SerializeToString())


def with_node(operator: str, domain: str = "", **attributes: Any) -> bytes:
    """Return the sound graph with one more node that nothing depends on."""
    model = onnx.load_from_string(GRAPH)
    inputs = [] if attributes else ["features"]
    model.graph.node.append(
        helper.make_node(operator, inputs, ["more"], domain=domain, **attributes)
    )
    if domain:
        model.opset_import.add(domain=domain, version=1)
    return bytes(model.SerializeToString())


def with_function() -> bytes:
    model = onnx.load_from_string(GRAPH)
    node = helper.make_node("Neg", ["x"], ["y"])
    opsets = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("local", "Minus", ["x"], ["y"], [node], opsets))
    return bytes(model.SerializeToString())


EMPTY = helper.make_graph([], "branch", [], [])


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (with_tensor("initializer", "secret"), "a tensor in another file"),
        (with_tensor("attribute", "secret"), "a tensor in another file"),
        (with_tensor("sparse", "secret"), "a tensor in another file"),
        (with_node("Gelu", "com.microsoft"), "operator 'Gelu' of domain 'com.microsoft'"),
        (with_node("RandomUniformLike"), "operator 'RandomUniformLike' of domain ''"),
        (with_node("If", then_branch=EMPTY, else_branch=EMPTY), "a subgraph"),
        (with_function(), "functions"),
        (GRAPH + b"\x0f", "damaged"),
        (GRAPH + b"\x80" * 11, "damaged"),
    ],
)
def test_a_graph_that_does_more_than_calculate_is_refused(
    tmp_path: Path, graph: bytes, reason: str
) -> None:
    publish(tmp_path, make_manifest(graph, golden_rows=(ROW,)), graph)
    with pytest.raises(ModelRefusedError, match=reason):
        load(tmp_path)


def test_a_changed_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    manifest = make_manifest(GRAPH)
    publish(tmp_path, manifest, GRAPH)
    path = next((tmp_path / "artifacts").rglob(manifest.model_file.sha256))
    path.write_bytes(sum_graph(6, 2, output="probability"))
    with pytest.raises(ModelRefusedError, match=f"but expected {manifest.model_file.sha256}"):
        load(tmp_path)


def refusal_of(folder: Path, before: str, after: str) -> str:
    """Register a model whose manifest has other text somewhere, and return why it is refused."""
    artifacts = ArtifactStore(folder / "artifacts")
    registry = ModelRegistry.open(f"sqlite:///{folder}/zeroskew.db")
    manifest = make_manifest(GRAPH).model_dump_json().replace(before, after)
    registry.register(
        model="arrival_delay",
        manifest_sha256=artifacts.put(manifest.encode()),
        model_sha256=artifacts.put(GRAPH),
    )
    registry.close()
    with pytest.raises(ModelRefusedError) as refusal:
        load(folder)
    return str(refusal.value)


def test_a_manifest_of_another_format_is_refused_in_one_sentence(tmp_path: Path) -> None:
    assert refusal_of(tmp_path, "manifest/2", "manifest/1") == (
        "Model arrival_delay version 1: manifest: Got a manifest of format 'zeroskew.manifest/1', "
        "but expected 'zeroskew.manifest/2'; train and publish the model again with this release."
    )


def test_a_manifest_that_says_more_than_its_format_has_is_refused_by_the_place(
    tmp_path: Path,
) -> None:
    refused = refusal_of(tmp_path, '"plan":{', '"plan":{"more":1,')
    assert "Got a manifest with 1 errors, the first at plan.more" in refused


def test_another_models_files_are_refused(tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    registry = ModelRegistry.open(f"sqlite:///{tmp_path}/zeroskew.db")
    other = artifacts.put(make_manifest(GRAPH, model="other").model_dump_json().encode())
    registry.register(model="arrival_delay", manifest_sha256=other, model_sha256="0" * 64)
    registry.close()
    with pytest.raises(ModelRefusedError, match="the manifest of model 'other'"):
        load(tmp_path)
