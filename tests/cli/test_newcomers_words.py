"""What somebody who is new reads: counts, faults of a profile, and the verdict of ``doctor``."""

import pytest

from s2rctl.cli.probes import Probe, examine
from s2rctl.core.errors import ProfileError
from s2rctl.core.progress import describe
from s2rctl.schema.load import load_profile


def test_no_third_of_an_episode_is_counted_but_parts_of_one_are():
    assert describe(13.8, 32, "episodes", 0.0, {}) == "13/32 episodes"
    assert describe(29.9999999999, 30, "episodes", 0.0, {}) == "30/30 episodes"
    assert describe(0.5, 1, "episodes", 0.0, {}) == "0.5/1 episodes"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("vision.appearance.brightness=0.3", "needs a list in square brackets"),
        ("reach.steps=many", "needs a whole number"),
        ("robot.cameras=3", "needs keys of its own"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_in_words_of_a_profile(change, says):
    with pytest.raises(ProfileError, match=says):
        load_profile("xarm7-reach", [change])


def test_a_profile_that_lies_here_is_suggested_and_a_name_that_no_file_can_have_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("extends: xarm7-reach\n")
    with pytest.raises(ProfileError) as caught:
        load_profile("mine")
    assert "./mine.yaml" in caught.value.hint
    with pytest.raises(ProfileError, match="there is no profile"):
        load_profile("é" * 200)


def test_what_is_not_there_is_missing_and_what_does_not_work_has_failed():
    found = [examine(Probe("p", f"import sys; print('none'); sys.exit({code})", "hint"), 60) for code in (0, 1, 3)]
    assert [finding.status for finding in found] == ["ok", "failed", "missing"]
    error = "from s2rctl.core.errors import MissingEnvironmentError as E; raise E('it needs warp', 'install it')"
    assert (lambda it: (it.status, it.detail))(examine(Probe("p", error, ""), 60)) == ("missing", "it needs warp")
