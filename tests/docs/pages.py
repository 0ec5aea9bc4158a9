"""The documentation as a person reads it: pages, their code blocks, and the commands in these."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

from s2rctl.cli.app import app
from s2rctl.cli.reference import commands

TOP = Path(__file__).resolve().parents[2]
NAMES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CREDITS.md", "CHANGELOG.md", "llms.txt")
PAGES = tuple(
    sorted([*(TOP / name for name in NAMES), *(TOP / "docs").rglob("*.md"), *(TOP / ".github").rglob("*.md")])
)
COMPLETION = ("--install-completion", "--show-completion")
"""Typer's own options; they act while the command line is read."""
SHELL = ("sh", "bash", "console", "shell")
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>[\w+-]*)(?P<info>[^`\n]*)$")
_LONE = re.compile(r"`(s2rctl [^`]+)`")
_TITLE = re.compile(r'title="([^"]+)"')
_NESTED = re.compile(r"\$\(([^()]+)\)")
_ASSIGNMENT = re.compile(r"^[A-Z_][A-Z0-9_]*=")


@dataclass(frozen=True)
class Block:
    """One fenced code block."""

    page: Path
    line: int  # of its first line
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(TOP)}:{self.line}"


@dataclass(frozen=True)
class Call:
    """One command line, as words without prompt, comment and assignments."""

    place: str
    words: tuple[str, ...]
    fails: bool = False  # the page shows the error that it ends with

    def __str__(self) -> str:
        return f"{self.place} {' '.join(self.words)}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield a page's code blocks; an unclosed one is an error."""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        opening = _FENCE.match(line)
        if not opening:
            continue
        fence, indent, inside = opening["fence"], len(opening["indent"]), []
        for _, text in lines:
            if text.strip() == fence:
                break
            inside.append(text[indent:])
        else:
            raise AssertionError(f"{page}:{number}: the block is not closed")
        title = _TITLE.search(opening["info"])
        yield Block(page, number + 1, opening["language"], title[1] if title else "", "\n".join(inside))


def without_blocks(page: Path) -> list[tuple[int, str]]:
    """Return a page's lines outside code blocks with their numbers."""
    lines, fence = [], ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        mark = _FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif mark:
            fence = mark["fence"]
        else:
            lines.append((number, line))
    return lines


def calls(block: Block) -> Iterator[Call]:
    """Yield the command lines of a shell block; of a console block those after a prompt."""
    joined = block.text.replace("\\\n", " ")
    for number, line in enumerate(joined.splitlines()):
        text = line.strip()
        if block.language == "console":
            if not text.startswith("$ "):
                continue
            text = text[2:]
        place = f"{block.page.relative_to(TOP)}:{block.line + number}"
        for part in [*_NESTED.findall(text), _NESTED.sub("nested", text)]:
            yield from _split(place, part, "error: " in block.text)


def _split(place: str, text: str, fails: bool) -> Iterator[Call]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    tokens = iter([*lexer, ";"])
    for word in tokens:
        if set(word) <= set("<>"):
            next(tokens)  # where it goes to
        elif set(word) <= set("|&;"):
            if call := _bare(words):
                yield Call(place, call, fails)
            words = []
        else:
            words.append(word)


def _bare(words: list[str]) -> tuple[str, ...]:
    """Return a command without assignments, the folder of its program, and the computer that it runs on."""
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    if words[:1] == ["ssh"]:
        words = words[2:]
    return (re.sub(r"^\S*/bin/", "", words[0]), *words[1:]) if words else ()


def mentions(page: Path) -> Iterator[Call]:
    """Yield every ``s2rctl …`` between single backticks."""
    for number, line in without_blocks(page):
        for text in _LONE.findall(line):
            yield Call(f"{page.relative_to(TOP)}:{number}", tuple(shlex.split(text)))


@cache
def tree() -> dict[str, Any]:
    """Return every command by its full name."""
    return dict(commands())


def parse(words: tuple[str, ...]) -> None:
    """Read a command line after ``s2rctl`` as Typer would, and run nothing; its own errors are raised."""
    command = typer.main.get_command(app)
    if words and words[0] in COMPLETION:
        return
    name, rest, context = "s2rctl", list(words), None
    while True:
        try:
            context = command.make_context(name, rest, parent=context)
        except typer.Exit:
            return
        if not isinstance(command, typer.core.TyperGroup):
            return
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, command, rest = command.resolve_command(context, rest)
