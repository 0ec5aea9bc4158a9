"""The tools in benchmarks/ are run by hand, so what they ask of profiles is tried here."""

import pytest

from benchmarks import ablations
from s2rctl.schema.load import load_profile

CASES = [
    pytest.param(profile, sets, id=f"{profile}-{name}")
    for profile, table in (("xarm7-reach", ablations.REACH), ("aloha", ablations.PICK | ablations.DISTILL))
    for name, sets in table.items()
] + [
    pytest.param("aloha" if name == "no_depth" else "xarm7-reach", sets, id=f"judged-{name}-{worlds}")
    for name, each in ablations.JUDGED.items()
    for worlds, sets in each.items()
]


@pytest.mark.parametrize(("profile", "sets"), CASES)
def test_an_ablation_is_a_profile(profile, sets):
    assert load_profile(profile, list(sets))
