"""Names from outside that become paths: what they may be, said once for manifests, archives, refs and recordings."""

from collections.abc import Iterable

PART_BYTES = 255
"""What common file systems take for one name."""
PATH_BYTES = 1024
"""For a whole relative path; leaves room for the folder that it is put into."""


def part_fault(part: str) -> str | None:
    """Return why ``part`` cannot be the name of one file or folder, or None if it can."""
    if part in ("", ".", ".."):
        return f"has the part '{part}'"
    if any(not character.isprintable() or character in "/\\" for character in part):
        return "has a separator or a character that cannot be printed"
    try:
        length = len(part.encode())
    except UnicodeEncodeError:
        return "is no text"
    return f"has a part of {length} bytes, more than {PART_BYTES}" if length > PART_BYTES else None


def path_fault(path: str) -> str | None:
    """Return why ``path`` cannot be a relative path that stays below its folder, or None if it can."""
    length = len(path.encode(errors="replace"))
    if length > PATH_BYTES:
        return f"has {length} bytes, more than {PATH_BYTES}"
    return next((fault for fault in map(part_fault, path.split("/")) if fault is not None), None)


def paths_fault(paths: Iterable[str]) -> str | None:
    """Return why these paths cannot be files of one folder (a duplicate, a file that is also a folder), or None."""
    files: set[str] = set()
    for path in paths:
        if path in files:
            return f"'{path}' is there twice"
        files.add(path)
    for path in files:
        above = path.rpartition("/")[0]
        while above:
            if above in files:
                return f"'{above}' is a file and the folder of '{path}'"
            above = above.rpartition("/")[0]
    return None
