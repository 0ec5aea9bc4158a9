import subprocess
import sys

import numpy as np
import pytest

from s2rctl.control.policy import Policy
from s2rctl.core.errors import ArtifactError
from s2rctl.core.exits import ExitCode
from tests.control.rigs import TINY, contract, metadata, write_policy


def test_a_policy_that_fits_runs(tmp_path):
    card = contract(TINY)
    path = write_policy(tmp_path / "p.onnx", card, np.array([0.1, 0.2, 0.3]), {"joint_pos": np.eye(4, 3)})
    policy = Policy(path, TINY, 20.0)
    out = policy.infer({"joint_pos": np.array([[1, 2, 3, 4]], np.float32)})
    assert np.allclose(out["action"], [[1.1, 2.2, 3.3]])
    assert policy.contract == card
    assert len(policy.sha256) == 64


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"robot": "xarm7"}, "made for the robot 'xarm7'"),
        ({"rate_hz": 50.0}, "trained at 50 Hz, the loop runs at 20 Hz"),
        ({"action_scale": (0.02,)}, "scales 1 actions, the robot takes 3"),
    ],
)
def test_what_does_not_fit_the_robot_is_refused_by_name(tmp_path, changes, text):
    path = write_policy(tmp_path / "p.onnx", contract(TINY, **changes), np.zeros(3))
    with pytest.raises(ArtifactError, match=text) as caught:
        Policy(path, TINY, 20.0)
    assert caught.value.exit_code == ExitCode.ARTIFACT


def test_a_wrong_joint_order_is_refused(tmp_path):
    card = contract(TINY)
    inputs = [{**card.inputs[0].model_dump(mode="json"), "elements": ["lift", "turn", "left_finger", "right_finger"]}]
    path = write_policy(tmp_path / "p.onnx", card, np.zeros(3), metadata=metadata(card, inputs=inputs))
    with pytest.raises(ArtifactError, match=r"order of 'joint_pos' differs .*lift for turn"):
        Policy(path, TINY, 20.0)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("name", "joints", "input 'joints' of the contract is not in the graph"),
        ("dtype", "uint8", r"input 'joint_pos' is tensor\(float\), the contract says uint8"),
        ("shape", ["batch", 5], "input 'joint_pos' has shape"),
    ],
)
def test_graph_and_contract_must_agree(tmp_path, field, value, text):
    card = contract(TINY)
    inputs = [{**card.inputs[0].model_dump(mode="json"), field: value, "elements": []}]
    path = write_policy(tmp_path / "p.onnx", card, np.zeros(3), metadata=metadata(card, inputs=inputs))
    with pytest.raises(ArtifactError, match=text):
        Policy(path, TINY, 20.0)


def test_missing_corrupt_and_unlabelled_files_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match="cannot read"):
        Policy(tmp_path / "none.onnx", TINY, 20.0)
    (tmp_path / "bad.onnx").write_bytes(b"not a graph")
    with pytest.raises(ArtifactError, match="not an ONNX graph"):
        Policy(tmp_path / "bad.onnx", TINY, 20.0)
    path = write_policy(tmp_path / "p.onnx", contract(TINY), np.zeros(3), metadata={})
    with pytest.raises(ArtifactError, match="no contract card"):
        Policy(path, TINY, 20.0)
    path = write_policy(tmp_path / "q.onnx", contract(TINY), np.zeros(3), metadata={"s2rctl.contract": '{"policy": 1}'})
    with pytest.raises(ArtifactError, match="contract card is invalid"):
        Policy(path, TINY, 20.0)


def test_the_robot_side_loads_no_learning_framework():
    modules = (
        "s2rctl.control.loop, s2rctl.control.policy, s2rctl.control.recorder, s2rctl.emulation.twin, s2rctl.robots"
    )
    code = f"import sys, {modules}; print(sorted({{'jax', 'flax', 'brax', 'optax'}} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
