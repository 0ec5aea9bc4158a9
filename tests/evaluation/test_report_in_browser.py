"""The report in a real browser: it renders, its console stays silent, and nothing hostile in it runs."""

import shutil
import subprocess

import pytest

from s2rctl.evaluation.report import build
from s2rctl.evaluation.report_material import Material
from s2rctl.store.store import Artifact, Store
from tests.evaluation.test_report import HOSTILE, PROFILE, artifacts, whole_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HANG_S = 120
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=3000",
)  # fmt: skip

__all__ = ["artifacts"]  # fixtures

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def opened(page: str, folder) -> tuple[str, list[str]]:
    """The page's elements after it ran, and what the browser's console said."""
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'user'}", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_it_renders_and_the_console_stays_silent(artifacts: dict[str, Artifact], tmp_path) -> None:
    found, said = opened(build(Material(PROFILE, artifacts)), tmp_path)
    assert said == []
    assert "92/100 [84.8, 96.5]" in found and "<table" in found and found.count("<section") == found.count("</section")


def ran(page: str, folder) -> bool:
    """Whether a script of the page called ``alert``."""
    begin, html, rest = page.partition("<html")
    attributes, _, rest = rest.partition(">")
    spy = "<script>window.alert = () => console.log('RAN')</script>"
    _, said = opened(f"{begin}{html}{attributes}>{spy}{rest}", folder)
    return any("RAN" in line for line in said)


def test_nothing_hostile_runs(tmp_path) -> None:
    page = whole_report(Store(tmp_path / "store"), tmp_path, HOSTILE)
    assert not ran(page, tmp_path)
    assert ran(page.replace("</main>", "<script>alert(1)</script></main>"), tmp_path), "the check can fail"
