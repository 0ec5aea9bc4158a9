"""What a person sees while ``calibrate-camera`` collects: a picture in the session's folder, and a page on request."""

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from s2rctl.operations.calibration.collect import Live
    from s2rctl.operations.calibration.work import Work

PageOption = Annotated[
    str | None,
    typer.Option("--page", metavar="HOST", help="Serve a live page on this address, e.g. localhost or 0.0.0.0."),
]


@contextlib.contextmanager
def shown(
    work: "Work", page: str | None
) -> "Iterator[tuple[Callable[[Live], None], Callable[[np.ndarray], None] | None]]":
    """Yield what each view is told to, and what each picture: a file in the session's folder, and a page if wanted."""
    from s2rctl.operations.calibration.live import Board

    board = Board(work.session.folder)
    if page is None:
        yield board, None
        return
    from s2rctl.view.remote_page import RemotePage

    opened = RemotePage(work, page)
    work.reporter.note(f"open {opened.url}")

    def show(live: "Live") -> None:
        board(live)
        opened(live)

    try:
        yield show, opened.see
    finally:
        opened.close()
