import os

import numpy as np
import pytest

from s2rctl.core.errors import ArtifactError
from s2rctl.export import graph
from s2rctl.export.conversion import Conversion
from s2rctl.export.session import open_session, run
from s2rctl.learning.policy_files import load_policy, save_policy
from tests.export.conftest import OPSET, observations


@pytest.fixture(scope="module")
def folder(student_parts, tmp_path_factory):
    settings, params = student_parts
    folder = tmp_path_factory.mktemp("policy")
    save_policy(folder, "student", settings.model_dump(mode="json"), params)
    return folder


def test_the_graph_of_another_process_is_the_policys(folder):
    with Conversion(folder, OPSET) as conversion:
        session = open_session(conversion.result().SerializeToString())
    expected = graph.of_policy(load_policy(folder))
    inputs = observations(expected, 3)
    np.testing.assert_allclose(run(session, inputs)["action"], expected(inputs)["action"], atol=1e-6)


def test_what_it_refuses_is_refused_here_with_its_words(tmp_path):
    with Conversion(tmp_path, OPSET) as conversion, pytest.raises(ArtifactError, match="no readable policy") as caught:
        conversion.result()
    assert "verify" in caught.value.hint


def test_a_breakdown_says_what_the_process_said(student_parts, tmp_path):
    settings, params = student_parts
    other = settings.model_copy(update={"hidden": (16, 16)})
    save_policy(tmp_path, "student", other.model_dump(mode="json"), params)
    with Conversion(tmp_path, OPSET) as conversion, pytest.raises(RuntimeError, match=r"(?s)exited with 1.*Traceback"):
        conversion.result()


def test_leaving_ends_it(folder):
    with Conversion(folder, OPSET) as conversion:
        pid = conversion._process.pid
        os.kill(pid, 0)  # it is there
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
