"""Links between the pages lead somewhere. No network: what begins with https is not asked for."""

import re

import pytest

from tests.docs.pages import PAGES, TOP, without_blocks

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")


def anchors(path) -> set[str]:
    """Return what a page's headings are called on the site and on code hosts."""
    found: set[str] = set()
    for _, line in without_blocks(path):
        if heading := re.match(r"#+ (.+)", line):
            plain = re.sub(r"[^\w\- ]", "", heading[1].replace("`", "")).strip().lower()
            found |= {plain.replace(" ", "-"), re.sub(r"[-\s]+", "-", plain)}
    return found


LINKS = [
    pytest.param(page, target, id=f"{page.relative_to(TOP)}:{number} {target}")
    for page in PAGES
    for number, line in without_blocks(page)
    for target in _LINK.findall(_CODE.sub("", line))
    if not re.match(r"(https?|mailto):", target)
]


def test_there_are_links():
    assert len(LINKS) > 60


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_a_link_leads_somewhere(page, target):
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    assert path.exists() and path.is_relative_to(TOP)
    if anchor:
        assert anchor in anchors(path), sorted(anchors(path))


def test_every_page_can_be_reached():
    """By the site's menu, which the build also checks."""
    menu = (TOP / "mkdocs.yml").read_text(encoding="utf-8")
    absent = [p for page in (TOP / "docs").rglob("*.md") if (p := str(page.relative_to(TOP / "docs"))) not in menu]
    assert absent == []


def test_every_picture_is_used():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [p.name for p in (TOP / "docs" / "images").iterdir() if f"images/{p.name}" not in text] == []
