"""The results of ``benchmarks.gpu`` as a page of Markdown."""

from collections.abc import Iterator
from typing import Any

HEAD = "| section | worlds | rate | compile | |\n|---|---|---|---|---|"


def markdown(results: dict[str, Any]) -> str:
    """Return tables of all sections; those without figures say why."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: dict[str, Any]) -> Iterator[str]:
    sections: dict[str, Any] = results["sections"]
    about = (sections.get("device", {}).get("rows") or [{}])[0]
    yield f"## {about.get('name', 'unknown device')} x {about.get('devices', '?')}"
    yield ""
    versions = ", ".join(f"{name} {number}" for name, number in about.get("versions", {}).items())
    yield f"{about.get('interface', '')}; Python {about.get('python', '?')}; {versions}."
    if results["quick"]:
        yield "Sizes of `--quick`: they show that everything works, and nothing about speed."
    for kind, unit in (("physics", "control steps/s (10 physics steps each)"), ("render", "frames/s (RGB and depth)")):
        yield f"\n{kind}, {unit}\n"
        yield HEAD
        for name, entry in sections.items():
            if name.split()[0] == kind:
                yield from _rates(name.removeprefix(f"{kind} "), entry)
    yield "\npipelines, each stage\n"
    yield "| section | stage | time | of it compiling | success |\n|---|---|---|---|---|"
    for name, entry in sections.items():
        if name.split()[0] == "pipeline":
            yield from _stages(name.removeprefix("pipeline "), entry)


def _rates(name: str, entry: dict[str, Any]) -> Iterator[str]:
    name = name.rsplit(" ", 1)[0] if name.rsplit(" ", 1)[-1].replace(",", "").isdigit() else name
    for row in entry["rows"]:
        notes = [row["memory"]] if row.get("memory") else []
        notes += [f"{row['diverged']} diverged"] if row.get("diverged") else []
        yield f"| {name} | {row['worlds']} | {row['per_second']:,.0f} | {row['compile_s']:.1f} s | {'; '.join(notes)} |"
    if entry["state"] != "done":
        yield f"| {name} | | | | {entry['state']} |"


def _stages(name: str, entry: dict[str, Any]) -> Iterator[str]:
    for row in entry["rows"]:
        compiling = f"{row['compile_s']:.1f} s" if row.get("compile_s") is not None else ""
        yield f"| {name} | {row['stage']} | {row['seconds']:.1f} s | {compiling} | {row.get('text', '')} |"
    if entry["rows"]:
        yield f"| {name} | in all | {sum(row['seconds'] for row in entry['rows']):.1f} s | | |"
    if entry["state"] != "done":
        yield f"| {name} | | | | {entry['state']} |"
