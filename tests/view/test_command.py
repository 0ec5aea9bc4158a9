"""``s2rctl view``: what it takes, and what it says when it cannot."""

import json
import sys

import pytest

from s2rctl.cli.main import main
from tests.view.rigs import recording


def refused(capsys, *words: str) -> tuple[int, str]:
    code = main(["view", *words])
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 2 and said.startswith("error: ") and "\nhint: " in said
    return code, said


def test_without_viser_it_says_what_to_install(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)  # as if it were not there
    code, said = refused(capsys, str(recording(tmp_path / "a.mcap")))
    assert code == 7 and "pip install 's2rctl[view]'" in said
    store = ["--store", str(tmp_path / "store")]
    assert main(["calibrate-camera", "collect", "-p", "xarm7-reach", "--page", "localhost", *store]) == 7
    assert "pip install 's2rctl[view]'" in capsys.readouterr().err


class TestWithViser:
    @pytest.fixture(autouse=True)
    def _viser(self) -> None:
        pytest.importorskip("viser")

    def test_a_recording_is_served(self, capsys, tmp_path) -> None:
        words = [str(recording(tmp_path / "a.mcap", 40)), "--seconds", "1", "--port", "0", "--json", "--no-meshes"]
        assert main(["view", *words]) == 0
        data = json.loads(capsys.readouterr().out)["data"]
        assert data["frames"] > 0 and data["url"].startswith("http://localhost:")

    def test_what_does_not_fit_is_refused(self, capsys, tmp_path) -> None:
        path = str(recording(tmp_path / "a.mcap"))
        assert refused(capsys, path, "--seed", "3")[0] == 2
        assert refused(capsys, path, "--host", "no.such.host.invalid", "--no-meshes")[0] == 7
        assert refused(capsys, str(tmp_path / "none.mcap"))[0] == 2
        assert refused(capsys, "no-such-thing", "--store", str(tmp_path / "store"))[0] in (3, 4)
        code, said = refused(capsys, "xarm7-reach", "--task", "reahc")
        assert code == 2 and "reach" in said
