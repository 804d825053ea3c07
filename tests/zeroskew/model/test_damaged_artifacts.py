"""Damaged, swapped, unsigned and hostile model files are refused before they serve."""

import hashlib
import os
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.damaged_models import (
    LIMITS,
    TreeModel,
    flip_bits,
    judge_rehashed,
    make_tree_model,
    store,
)
from training.publish.signing import make_signing_key, sign_bytes
from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.model.load_gate import load_model
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.registered_version import RegisteredVersion

N_FLIPS = 200


@pytest.fixture(scope="module")
def model() -> TreeModel:
    return make_tree_model()


def publish_to(folder: Path, model: TreeModel) -> tuple[ArtifactStore, RegisteredVersion]:
    artifacts = ArtifactStore(folder)
    return artifacts, store(artifacts, model.manifest.model_dump_json().encode(), model.content)


def path_of(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256


@pytest.mark.parametrize("file", ["manifest_sha256", "model_sha256"])
def test_every_flipped_bit_is_refused(tmp_path: Path, model: TreeModel, file: str) -> None:
    artifacts, registered = publish_to(tmp_path, model)
    path = path_of(tmp_path, getattr(registered, file))
    content = path.read_bytes()
    for _, damaged in flip_bits(content, N_FLIPS):
        path.write_bytes(damaged)
        with pytest.raises(ModelRefusedError, match="Got bytes with sha256"):
            load_model(registered, artifacts, LIMITS)
    path.write_bytes(content)
    assert load_model(registered, artifacts, LIMITS).version == 1


@pytest.mark.parametrize("file", ["manifest_sha256", "model_sha256"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_refused(
    tmp_path: Path, model: TreeModel, file: str, share: float
) -> None:
    artifacts, registered = publish_to(tmp_path, model)
    path = path_of(tmp_path, getattr(registered, file))
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ModelRefusedError, match="Got bytes with sha256"):
        load_model(registered, artifacts, LIMITS)


def test_flips_that_the_registry_vouches_for_do_not_change_golden_rows(
    tmp_path: Path, model: TreeModel
) -> None:
    outcomes = [judge_rehashed(tmp_path, model, file) for _, file in flip_bits(model.content, 20)]
    assert "refused" in outcomes
    assert "harmless" in outcomes


def test_a_swapped_manifest_is_refused(tmp_path: Path, model: TreeModel) -> None:
    artifacts, registered = publish_to(tmp_path, model)
    _, other = publish_to(tmp_path, make_tree_model(2))
    swapped = registered.model_copy(update={"manifest_sha256": other.manifest_sha256})
    with pytest.raises(ModelRefusedError, match=f"expected {registered.model_sha256} as regist"):
        load_model(swapped, artifacts, LIMITS)
    path_of(tmp_path, registered.manifest_sha256).write_bytes(
        path_of(tmp_path, other.manifest_sha256).read_bytes()
    )
    with pytest.raises(ModelRefusedError, match="Got bytes with sha256"):
        load_model(registered, artifacts, LIMITS)


@pytest.mark.parametrize("file", ["manifest_sha256", "model_sha256"])
def test_a_symbolic_link_is_refused(tmp_path: Path, model: TreeModel, file: str) -> None:
    artifacts, registered = publish_to(tmp_path / "artifacts", model)
    path = path_of(tmp_path / "artifacts", getattr(registered, file))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelRefusedError, match="is not a regular file"):
        load_model(registered, artifacts, LIMITS)


def test_a_linked_folder_and_a_pipe_are_refused(tmp_path: Path, model: TreeModel) -> None:
    artifacts, registered = publish_to(tmp_path / "artifacts", model)
    path = path_of(tmp_path / "artifacts", registered.model_sha256)
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelRefusedError, match="is not a regular file"):
        load_model(registered, artifacts, LIMITS)
    path.parent.unlink()
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(ModelRefusedError, match="is not a regular file"):
        load_model(registered, artifacts, LIMITS)


def refuse(folder: Path, model: TreeModel, graph: onnx.ModelProto, reason: str) -> None:
    """Check that a graph is refused although the registry vouches for it."""
    content = graph.SerializeToString()
    artifacts = ArtifactStore(folder)
    registered = store(artifacts, model.rehashed(content).model_dump_json().encode(), content)
    with pytest.raises(ModelRefusedError, match=reason):
        load_model(registered, artifacts, LIMITS)


def trees_of(graph: onnx.ModelProto) -> dict[str, Any]:
    node = next(node for node in graph.graph.node if node.op_type == "TreeEnsemble")
    return {attribute.name: attribute for attribute in node.attribute}


@pytest.mark.parametrize(
    ("name", "number", "reason"),
    [
        ("nodes_featureids", 100, "a feature beyond the width of their input"),
        ("nodes_featureids", -1, "the ONNX runtime cannot load"),
        ("nodes_truenodeids", 1 << 20, "the ONNX runtime cannot load"),
        ("leaf_targetids", 7, "the ONNX runtime cannot load"),
        ("tree_roots", 1 << 20, "the ONNX runtime cannot load"),
    ],
)
def test_trees_that_point_beyond_their_bounds_are_refused(
    tmp_path: Path, model: TreeModel, name: str, number: int, reason: str
) -> None:
    graph = onnx.load_from_string(model.content)
    # The last node: no golden row need come there for it to be found.
    trees_of(graph)[name].ints[-1] = number
    refuse(tmp_path, model, graph, reason)


def test_more_outputs_than_leaves_are_refused(tmp_path: Path, model: TreeModel) -> None:
    graph = onnx.load_from_string(model.content)
    trees_of(graph)["n_targets"].i = 1_000_000_000
    refuse(tmp_path, model, graph, "trees with 1000000000 outputs, but expected at most")


def test_external_data_and_custom_operators_are_refused(tmp_path: Path, model: TreeModel) -> None:
    graph = onnx.load_from_string(model.content)
    outside = TensorProto(name="t", dims=[1], data_type=TensorProto.DOUBLE)
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/passwd")
    graph.graph.initializer.append(outside)
    refuse(tmp_path, model, graph, "a tensor in another file")

    graph = onnx.load_from_string(model.content)
    graph.graph.node.append(helper.make_node("Leak", ["features"], ["more"], domain="mine"))
    graph.opset_import.add(domain="mine", version=1)
    refuse(tmp_path, model, graph, "operator 'Leak' of domain 'mine'")

    graph = onnx.load_from_string(model.content)
    graph.graph.node.append(helper.make_node("StringNormalizer", ["features"], ["more"]))
    refuse(tmp_path, model, graph, "operator 'StringNormalizer' of domain ''")


def test_a_number_hidden_behind_many_others_is_still_checked(
    tmp_path: Path, model: TreeModel
) -> None:
    """A run of numbers is skipped as a whole; what follows it is not."""
    graph = onnx.load_from_string(model.content)
    attribute = trees_of(graph)["nodes_featureids"]
    content = (
        attribute.SerializeToString()
        + helper.make_attribute("g", helper.make_graph([], "g", [], [])).SerializeToString()
    )
    attribute.ParseFromString(content)
    refuse(tmp_path, model, graph, "a subgraph")


def test_with_trusted_keys_only_what_they_signed_is_loaded(
    tmp_path: Path, model: TreeModel
) -> None:
    artifacts, registered = publish_to(tmp_path / "artifacts", model)
    manifest = path_of(tmp_path / "artifacts", registered.manifest_sha256).read_bytes()
    trusted = make_signing_key(tmp_path / "key.pem")
    other = make_signing_key(tmp_path / "other.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600

    def load(signature: str | None, *keys: str) -> None:
        signed = registered.model_copy(update={"signature": signature})
        load_model(signed, artifacts, LIMITS, keys)

    signature = sign_bytes(manifest, tmp_path / "key.pem")
    load(signature, trusted)
    load(signature, other, trusted)
    load(None)
    with pytest.raises(ModelRefusedError, match="without a signature"):
        load(None, trusted)
    for wrong in (
        sign_bytes(manifest, tmp_path / "other.pem"),
        sign_bytes(manifest + b" ", tmp_path / "key.pem"),
        hashlib.sha512(manifest).hexdigest(),
        signature[:-2],
        "no hexadecimal digits",
    ):
        with pytest.raises(ModelRefusedError, match="not by one of the trusted keys"):
            load(wrong, trusted)
