"""A bundle that does not keep its contract is refused by one line that says why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simgym.deploy import BundleError, Camera, Contract, TensorSpec, check_camera, load_bundle


def edited(contract: Contract, **changes: Any) -> str:
    """The contract's JSON with keys changed, added, or (None) taken away."""
    data = json.loads(contract.to_json()) | changes
    return json.dumps({key: value for key, value in data.items() if value is not None})


def refusal(path: Path, kind: str = "policy", **kwargs: Any) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(path, kind, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_contract_survives_json(contract, goggles_contract):
    assert Contract.from_json(contract.to_json()) == contract
    assert Contract.from_json(goggles_contract.to_json()) == goggles_contract


def test_a_sound_bundle_loads(policy_path, contract):
    session, loaded = load_bundle(policy_path, "policy")
    assert loaded == contract
    assert [node.name for node in session.get_inputs()] == ["image", "velocity"]


def test_missing_file(tmp_path):
    assert "no bundle at" in refusal(tmp_path / "absent.onnx")
    assert "no bundle at" in refusal(tmp_path)  # a folder


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x80\x04\x95 a pickle"])
def test_not_onnx(tmp_path, content):
    path = tmp_path / "policy.onnx"
    path.write_bytes(content)
    assert "not an ONNX file" in refusal(path)


def test_truncated(policy_path):
    content = policy_path.read_bytes()
    for length in (len(content) // 4, len(content) // 2, len(content) - 1):
        policy_path.write_bytes(content[:length])
        refusal(policy_path)


def test_onnx_without_contract(make_bundle):
    assert "no 'simgym' metadata" in refusal(make_bundle())


def test_wrong_kind(policy_path, goggles_path):
    assert "is a policy bundle, but a goggles bundle is needed" in refusal(policy_path, "goggles")
    assert "is a goggles bundle, but a policy bundle is needed" in refusal(goggles_path, "policy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 4}, "version 4, but this simgym reads version 3"),
        ({"version": 4, "a_key_of_the_future": 1}, "version 4"),
        ({"kind": "hat"}, "kind must be one of policy, goggles"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"rate_hz": None}, "no 'rate_hz'"),
        ({"rate_hz": 0}, "rate_hz must be positive"),
        ({"rate_hz": "fast"}, "wrong value"),
        ({"trail_s": [0.0]}, "trail_s must be positive"),
        ({"trail_s": [4.0]}, "trail_s is for a policy of a robot that measures its velocity"),
        ({"frame_stack": 0}, "frame_stack"),
        ({"frame_stack": 3.0}, "frame_stack"),
        ({"camera": {"width": 8}}, "camera: no"),
        ({"camera": 5}, "camera must be a JSON object"),
        ({"camera": {"width": 8, "height": 6, "fx": "a", "fy": 1, "cx": 4, "cy": 3}}, "wrong value"),
        ({"camera": {"width": 8, "height": 6, "fx": 0, "fy": 1, "cx": 4, "cy": 3}}, "wrong value"),
        ({"inputs": 7}, "wrong value"),
        ({"inputs": [{}]}, "a tensor of the contract: no"),
        ({"outputs": []}, "the graph's outputs"),
    ],
)
def test_bad_contracts(make_bundle, contract, changes, message):
    assert message in refusal(make_bundle(simgym=edited(contract, **changes)))


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_contract_that_is_no_object(make_bundle, text):
    assert "contract" in refusal(make_bundle(simgym=text))


def test_graph_must_match_the_contract(make_bundle, contract):
    command = replace(contract.outputs[0], name="action")
    message = refusal(make_bundle(simgym=replace(contract, outputs=(command,)).to_json()))
    assert "the graph's outputs" in message and "action" in message
    image = replace(contract.inputs[0], dtype="float32")
    assert "inputs" in refusal(make_bundle(simgym=replace(contract, inputs=(image, contract.inputs[1])).to_json()))


def test_unknown_provider(policy_path):
    assert "no execution provider Abacus" in refusal(policy_path, providers=["Abacus"])


def test_training_summary_must_be_json(contract):
    with pytest.raises(BundleError, match="JSON"):
        replace(contract, training={"success_rate": float("nan")}).to_json()


def test_limits_must_fit(contract):
    with pytest.raises(BundleError, match="low must be below high"):
        TensorSpec("command", ("N", 2), "float32", "m/s", (1.0,), (0.0,))
    with pytest.raises(BundleError, match="must hold 1 value or 2"):
        TensorSpec("command", ("N", 2), "float32", "m/s", (0.0,) * 3, (1.0,) * 3)
    with pytest.raises(BundleError, match="dtype"):
        TensorSpec("command", ("N", 2), "float16", "m/s")


def test_camera_must_agree(contract):
    check_camera(contract, Camera.from_fov(8, 6, 1.2))
    with pytest.raises(BundleError, match=r"width 80 instead of 8, .*resample"):
        check_camera(contract, Camera())
    with pytest.raises(BundleError, match="cx 4.5 instead of 4"):
        check_camera(contract, replace(contract.camera, cx=4.5))
