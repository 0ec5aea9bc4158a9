"""Small pieces of HTML and SVG for the report: everything inline, nothing fetched.

Whatever is put between tags or into an attribute goes through ``fill``, which escapes all that is not ``Html``.
"""

import base64
import html
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from s2rctl.core.text import printable


class Html(str):
    """Text that is markup already: made by ``fill`` and ``join`` only."""

    __slots__ = ()


class _Filler(string.Formatter):
    """Formats as ``str.format`` does and escapes every value that is not markup."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Return the value as text in HTML."""
        return value if isinstance(value, Html) else text(format(value, format_spec))


def text(value: object) -> Html:
    """Return anything as text in HTML: markup, quotes, control characters and bidirectional overrides escaped."""
    return Html(html.escape(printable(str(value))))


def fill(template: str, *values: object, **named: object) -> Html:
    """Return a template of ours with its ``{}`` filled as by ``str.format``; what is not ``Html`` is escaped."""
    return Html(_Filler().vformat(template, values, named))


def join(parts: Iterable[Html]) -> Html:
    """Return pieces of markup one after the other; a piece that is not markup is escaped."""
    return Html("".join(part if isinstance(part, Html) else text(part) for part in parts))


def data_uri(content: bytes, media_type: str) -> str:
    """Return a file's content as a ``data:`` address."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def download(content: bytes, media_type: str, name: str, label: str) -> Html:
    """Return a link that saves the inlined content under ``name``."""
    return fill('<a download="{}" href="{}">{}</a>', name, data_uri(content, media_type), label)


def card(label: str, value: str, detail: str = "", tone: str = "") -> Html:
    """Return one figure of the summary; ``tone`` is good, bad or empty."""
    return fill(
        '<div class="card"><div class="label">{}</div><div class="value {}">{}</div><div class="detail">{}</div></div>',
        label, tone, value, detail,
    )  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table that scrolls on narrow screens; numbers and the heads of their columns are right-aligned."""
    found = [list(row) for row in rows]
    numbers = [all(_is_number(row[i]) for row in found) and bool(found) for i in range(len(head))]
    marks = [Html(' class="number"' if number else "") for number in numbers]
    cells = join(fill("<th{}>{}</th>", mark, h) for h, mark in zip(head, marks, strict=True))
    body = join(fill("<tr>{}</tr>", join(_cell(value) for value in row)) for row in found)
    top = fill("<thead><tr>{}</tr></thead>", cells) if any(head) else ""
    return fill('<div class="scroll"><table>{}<tbody>{}</tbody></table></div>', top, body)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object) -> Html:
    if not _is_number(value):
        return fill("<td>{}</td>", value)
    return fill('<td class="number">{}</td>', f"{value:.4g}" if isinstance(value, float) else value)


def picture(content: bytes, media_type: str, caption: str) -> Html:
    """Return an inlined picture."""
    template = '<figure><img alt="{caption}" src="{source}"><figcaption>{caption}</figcaption></figure>'
    return fill(template, caption=caption, source=data_uri(content, media_type))


def video(content: bytes, media_type: str, caption: str) -> Html:
    """Return an inlined, muted, looping video."""
    return fill(
        '<figure><video controls muted loop playsinline preload="metadata" src="{}"></video>'
        "<figcaption>{}</figcaption></figure>",
        data_uri(content, media_type),
        caption,
    )


def interval_bar(rate: float, low: float, high: float, gate: float) -> Html:
    """Return a bar from 0 to 100 % with the interval, the rate and the gate (0: none)."""

    def x(value: float) -> float:
        return 25 + 550 * value

    def line(at: float, top: int, bottom: int, dashes: str = "") -> Html:
        dashed = fill(' stroke-dasharray="{}"', dashes) if dashes else ""
        template = '<line class="mark"{} x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
        return fill(template, dashed, x=x(at), top=top, bottom=bottom)

    marks = join([line(rate, 10, 34), *([line(gate, 6, 38, "3 3")] if gate else [])])
    tick = '<text class="soft" x="{:.1f}" y="56" text-anchor="middle">{} %</text>'
    ticks = join(fill(tick, x(t / 100), t) for t in range(0, 101, 25))
    band = fill('x="{:.1f}" y="12" width="{:.1f}" height="20" rx="4"', x(low), max(550 * (high - low), 2))
    return fill(
        '<figure><svg class="graph" viewBox="0 0 600 64" role="img" aria-label="success rate with interval">'
        '<rect class="track" x="25" y="16" width="550" height="12" rx="6"/>'
        '<rect class="bar" opacity=".45" {}/>{}{}</svg>'
        "<figcaption>Success rate (line), exact 95 % interval (band){}.</figcaption></figure>",
        band, marks, ticks, ", gate on the lower bound of Wilson (dashed)" if gate else "",
    )  # fmt: skip


def lineage(nodes: Mapping[str, tuple[str, str]], edges: Sequence[tuple[str, str]]) -> Html:
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
        path = '<path class="edge" d="M{x1} {y1} C{m} {y1} {m} {y2} {x2} {y2}"/>'
        lines.append(fill(path, x1=x1, y1=y1, x2=x2, y2=y2, m=middle))
    box = (
        '<rect class="box" x="{left}" y="{top}" width="172" height="42" rx="7"/>'
        '<text x="{x}" y="{y1}">{title}</text><text class="soft" x="{x}" y="{y2}">{subtitle}</text>'
    )
    boxes = []
    for n, (c, r) in place.items():
        x, y = c * width, r * height
        places = {"left": x + 6, "top": y + 4, "x": x + 14, "y1": y + 21, "y2": y + 38}
        boxes.append(fill(box, **places, title=nodes[n][0], subtitle=nodes[n][1]))
    # On a narrow screen the graph scrolls: text that shrinks with it could not be read.
    return fill(
        '<figure class="wide"><svg class="graph" style="min-width:{least}px" viewBox="0 0 {total} {tall}" role="img" '
        'aria-label="lineage">{drawing}</svg></figure>',
        least=round(0.8 * total), total=total, tall=tall, drawing=join([*lines, *boxes]),
    )  # fmt: skip


def page(title: str, style: str, body: Html) -> str:
    """Return the whole self-contained document; ``style`` is a sheet of ours."""
    return fill(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>{}</title><style>{}</style></head><body><main>{}</main></body></html>\n",
        title, Html(style), body,
    )  # fmt: skip
