"""A headless Chromium that is told what to do over its DevTools protocol."""

import base64
import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HANG_S = 120
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-component-update",
    "--remote-debugging-port=0", "--window-size=1280,800",
)  # fmt: skip
COUNT = "window.shown = 0; (function again() { window.shown += 1; requestAnimationFrame(again) })()"


class Tab:
    """One page. ``said`` collects what its console said and every exception that nobody caught."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._number = socket, 0
        self.said: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": values}))
        while True:
            answer = json.loads(self._socket.recv(timeout=HANG_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def run(self, script: str) -> Any:
        """Return what an expression of JavaScript is."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def text(self) -> str:
        return self.run("document.body ? document.body.innerText : ''") or ""

    def wait_for(self, pattern: str) -> str:
        """Return the page's text once it holds a pattern."""
        until = time.monotonic() + HANG_S
        while not re.search(pattern, found := self.text()):
            assert time.monotonic() < until, f"no {pattern!r} in {found!r}; {self.said}"
            time.sleep(0.1)
        return found

    def press(self, name: str) -> None:
        """Click the button of this name."""
        self.run(
            f"[...document.querySelectorAll('button')].find(b => b.innerText.trim() === {json.dumps(name)}).click()"
        )

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    @property
    def errors(self) -> list[str]:
        """What the console said that is worse than a warning."""
        self.run("1")  # takes what waits
        return [line for line in self.said if line.startswith(("error", "exception"))]

    def _note(self, event: dict[str, Any]) -> None:
        values = event.get("params", {})
        if event.get("method") == "Runtime.consoleAPICalled":
            words = " ".join(str(item.get("value", item.get("description", ""))) for item in values["args"])
            self.said.append(f"{values['type']}: {words}")
        elif event.get("method") == "Runtime.exceptionThrown":
            self.said.append(f"exception: {values['exceptionDetails']}")
        elif event.get("method") == "Log.entryAdded":
            self.said.append(f"{values['entry']['level']}: {values['entry']['text']} {values['entry'].get('url', '')}")


@contextlib.contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    """Open a browser whose profile lies in a folder."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'user'}", "about:blank"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert child.stderr is not None
        address = next(found[1] for line in child.stderr if (found := re.search(r"listening on (ws://\S+)", line)))
        threading.Thread(target=child.stderr.read, daemon=True).start()  # or it stops when the pipe is full
        with connect(address, max_size=None, proxy=None) as browser:
            browser.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            while (answer := json.loads(browser.recv(timeout=HANG_S))).get("id") != 1:
                pass
            page = next(t["targetId"] for t in answer["result"]["targetInfos"] if t["type"] == "page")
        root = address.partition("/devtools/")[0]
        with connect(f"{root}/devtools/page/{page}", max_size=None, proxy=None) as socket:
            yield Tab(socket)
    finally:
        child.terminate()
        child.wait(HANG_S)
