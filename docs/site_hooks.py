"""What the site needs beyond mkdocs: the pages at the top of the checkout, with links that lead to the right place.

On a code host ``CONTRIBUTING.md`` links to ``docs/deploy.md`` and a page in docs/ to ``../SECURITY.md``; on the site
all of them lie in one folder.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "CREDITS.md", "SECURITY.md")
OTHERS = ("LICENSE", "llms.txt")
_LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)]*)?(\))")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and files at the top of the checkout."""
    from mkdocs.structure.files import File

    for name in (*PAGES, *OTHERS):
        files.append(File.generated(config, name, abs_src_path=str(TOP / name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links between files of the checkout into links between pages of the site."""
    place = page.file.src_uri
    here = posixpath.dirname(place if place in PAGES else f"docs/{place}")

    def turned(match: re.Match[str]) -> str:
        target = match[2]
        if ":" in target or target.startswith("/"):
            return match[0]
        whole = posixpath.normpath(posixpath.join(here, target))
        inside = whole.removeprefix("docs/")
        if inside == whole and whole not in (*PAGES, *OTHERS):
            return match[0]
        return f"{match[1]}{posixpath.relpath(inside, posixpath.dirname(place) or '.')}{match[3] or ''}{match[4]}"

    return _LINK.sub(turned, markdown)
