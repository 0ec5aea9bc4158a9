"""The GPU benchmark's bookkeeping: nothing here computes."""

import json

import pytest

from benchmarks.gpu import Record, Section, sections
from benchmarks.gpu_table import markdown


def test_every_section_has_a_name_of_its_own_and_a_quick_run_needs_no_gpu(tmp_path):
    for quick in (True, False):
        found = list(sections(quick, tmp_path))
        assert len({section.name for section in found}) == len(found)
    assert not any(section.needs_gpu for section in sections(True, tmp_path))
    whole = list(sections(False, tmp_path))
    assert {section.words[1] for section in whole if section.needs_gpu} == {"mjx", "warp"}
    # The first minutes tell most: all backends and scenes at one size, before any other size.
    assert [section.name for section in whole[:9]] == [
        f"physics {backend} {task} 4096"
        for task in ("pick", "insertion", "reach")
        for backend in ("warp", "mjx", "native")
    ]


def test_a_section_that_fails_says_so_and_is_tried_again(tmp_path):
    record = Record(tmp_path, quick=True)
    record.run(Section("broken", ("no such section",), 60), 60)
    assert record.sections["broken"]["state"].startswith("failed: KeyError")
    assert not Record(tmp_path, quick=True).done("broken")
    assert (tmp_path / "broken.log").is_file()


def test_a_section_whose_time_is_up_is_ended_and_can_be_run_again(tmp_path):
    record = Record(tmp_path, quick=True)
    record.run(Section("physics native pick 4", ("physics", "native", "pick", "4", "1e9"), 0.05), 0.05)
    assert record.sections["physics native pick 4"]["state"] == "time was up: run again"
    assert "time was up" in (tmp_path / "gpu.md").read_text()


def test_results_survive_and_are_not_mixed_with_those_of_other_sizes(tmp_path):
    Record(tmp_path, quick=True).put("physics native pick 4", "done", [], 1.0)
    assert Record(tmp_path, quick=True).done("physics native pick 4")
    assert json.loads((tmp_path / "gpu.json").read_text())["schema"] == 1
    with pytest.raises(SystemExit, match="--out"):
        Record(tmp_path, quick=False)


def test_the_table_has_figures_and_says_why_others_are_missing():
    rate = {"worlds": 4096, "per_second": 1234567.8, "compile_s": 12.34, "diverged": 3, "memory": "9.0 MB"}
    stage = {"stage": "evaluate", "seconds": 20.0, "compile_s": 5.0, "text": "90/100 [82.4, 95.1]"}
    about = {"name": "NVIDIA H200", "devices": 1, "interface": "cuda 12090", "python": "3.11", "versions": {"jax": "1"}}
    page = markdown(
        {
            "quick": False,
            "sections": {
                "device": {"state": "done", "rows": [about]},
                "physics warp pick 4096": {"state": "done", "rows": [rate]},
                "physics mjx pick 4096": {"state": "empty: needs an NVIDIA GPU", "rows": []},
                "pipeline aloha": {"state": "time was up: run again", "rows": [stage, stage]},
            },
        }
    )
    assert "## NVIDIA H200 x 1" in page
    assert "| warp pick | 4096 | 1,234,568 | 12.3 s | 9.0 MB; 3 diverged |" in page
    assert "| mjx pick | | | | empty: needs an NVIDIA GPU |" in page
    assert "| aloha | in all | 40.0 s | | |" in page and "90/100 [82.4, 95.1]" in page
    assert "| aloha | | | | time was up: run again |" in page
