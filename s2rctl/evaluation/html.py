"""Small pieces of HTML and SVG for the report: everything inline, nothing fetched."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape


def data_uri(content: bytes, media_type: str) -> str:
    """Return a file's content as a ``data:`` address."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def text(value: str) -> str:
    """Return text with what HTML would read as markup escaped."""
    return escape(value)


def download(content: bytes, media_type: str, name: str, label: str) -> str:
    """Return a link that saves the inlined content under ``name``."""
    return f'<a download="{escape(name)}" href="{data_uri(content, media_type)}">{escape(label)}</a>'


def card(label: str, value: str, detail: str = "", tone: str = "") -> str:
    """Return one figure of the summary; ``tone`` is good, bad or empty."""
    return (
        f'<div class="card"><div class="label">{escape(label)}</div>'
        f'<div class="value {escape(tone)}">{escape(value)}</div><div class="detail">{escape(detail)}</div></div>'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table that scrolls on narrow screens; numbers and the heads of their columns are right-aligned."""
    found = [list(row) for row in rows]
    numbers = [all(_is_number(row[i]) for row in found) and bool(found) for i in range(len(head))]
    marks = [' class="number"' if number else "" for number in numbers]
    cells = "".join(f"<th{mark}>{escape(h)}</th>" for h, mark in zip(head, marks, strict=True))
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in found)
    top = f"<thead><tr>{cells}</tr></thead>" if any(head) else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.4g}</td>'
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td class="number">{value}</td>'
    return f"<td>{escape(str(value))}</td>"


def picture(content: bytes, media_type: str, caption: str) -> str:
    """Return an inlined picture."""
    image = f'<img alt="{escape(caption)}" src="{data_uri(content, media_type)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def video(content: bytes, media_type: str, caption: str) -> str:
    """Return an inlined, muted, looping video."""
    source = data_uri(content, media_type)
    return (
        f'<figure><video controls muted loop playsinline preload="metadata" src="{source}"></video>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def interval_bar(rate: float, low: float, high: float, gate: float) -> str:
    """Return a bar from 0 to 100 % with the interval, the rate and the gate (0: none)."""

    def x(value: float) -> float:
        return 25 + 550 * value

    def line(at: float, top: int, bottom: int, dashes: str = "") -> str:
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        return f'<line class="mark"{dashed} x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{top}" y2="{bottom}"/>'

    marks = line(rate, 10, 34) + (line(gate, 6, 38, "3 3") if gate else "")
    ticks = "".join(
        f'<text class="soft" x="{x(t / 100):.1f}" y="56" text-anchor="middle">{t} %</text>' for t in range(0, 101, 25)
    )
    band = f'x="{x(low):.1f}" y="12" width="{max(550 * (high - low), 2):.1f}" height="20" rx="4"'
    return (
        '<figure><svg class="graph" viewBox="0 0 600 64" role="img" aria-label="success rate with interval">'
        f'<rect class="track" x="25" y="16" width="550" height="12" rx="6"/>'
        f'<rect class="bar" opacity=".45" {band}/>{marks}{ticks}</svg>'
        "<figcaption>Success rate (line), exact 95 % interval (band)"
        f"{', gate on the lower bound of Wilson (dashed)' if gate else ''}.</figcaption></figure>"
    )


def lineage(nodes: Mapping[str, tuple[str, str]], edges: Sequence[tuple[str, str]]) -> str:
    """Return the graph of artifacts as SVG.

    ``nodes`` maps an id to (title, subtitle); ``edges`` are (from, to) ids. Each node stands one column right of the
    furthest artifact it was made from.
    """
    column: dict[str, int] = {}

    def depth(node: str) -> int:
        if node not in column:
            column[node] = 1 + max((depth(a) for a, b in edges if b == node), default=-1)
        return column[node]

    place: dict[str, tuple[int, int]] = {}
    rows: dict[int, int] = {}
    for node in nodes:
        at = depth(node)
        place[node] = (at, rows.get(at, 0))
        rows[at] = rows.get(at, 0) + 1
    width, height = 206, 62
    total = (max((c for c, _ in place.values()), default=0) + 1) * width
    tall = max(rows.values(), default=1) * height
    lines = []
    for a, b in edges:
        (ca, ra), (cb, rb) = place[a], place[b]
        x1, y1, x2, y2 = ca * width + 178, ra * height + 24, cb * width + 6, rb * height + 24
        middle = (x1 + x2) / 2
        lines.append(f'<path class="edge" d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"/>')
    boxes = [
        f'<rect class="box" x="{c * width + 6}" y="{r * height + 4}" width="172" height="42" rx="7"/>'
        f'<text x="{c * width + 14}" y="{r * height + 21}">{escape(nodes[n][0])}</text>'
        f'<text class="soft" x="{c * width + 14}" y="{r * height + 38}">{escape(nodes[n][1])}</text>'
        for n, (c, r) in place.items()
    ]
    drawing = "".join(lines + boxes)
    # On a narrow screen the graph scrolls: text that shrinks with it could not be read.
    svg = (
        f'<svg class="graph" style="min-width:{round(0.8 * total)}px" viewBox="0 0 {total} {tall}" role="img" '
        f'aria-label="lineage">{drawing}</svg>'
    )
    return f'<figure class="wide">{svg}</figure>'


def page(title: str, style: str, body: str) -> str:
    """Return the whole self-contained document."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>{body}</main></body></html>\n"
    )
