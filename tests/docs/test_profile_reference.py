from pathlib import Path

from s2rctl.schema.reference import markdown


def test_the_committed_reference_is_the_models() -> None:
    page = Path(__file__).parents[2] / "docs" / "profile.md"
    assert page.read_text(encoding="utf-8") == markdown(), "run: python -m s2rctl.schema.reference > docs/profile.md"


def test_it_lists_nested_fields_with_units() -> None:
    text = markdown()
    assert "| `teacher.pick.ppo.discount` |" in text
    assert "| `vision.cameras[].width` | required | image width [px] |" in text
