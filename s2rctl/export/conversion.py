"""A stored policy's ONNX graph, built in a process of its own.

While it builds a graph, jax2onnx puts its own functions into JAX, for all threads: nothing else may be traced then. In
another process it disturbs nobody, and the caller plays episodes while it works.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.core.interpreter import python

_MODEL, _REFUSAL = "policy.onnx", "refusal.json"
_REFUSED = 4
"""Exit status of the process after an error of ours; what it says is in the file."""


class Conversion:
    """A conversion that runs; use as a context, which ends it. ``folder`` is that of a stored policy."""

    def __init__(self, folder: Path, opset: int) -> None:
        self._output = tempfile.TemporaryDirectory(prefix="s2rctl-")
        command = python("-m", "s2rctl.export.conversion", str(folder), str(opset), self._output.name)
        # A session of its own: Ctrl-C is the caller's to answer.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> "Conversion":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._output.cleanup()

    def result(self) -> Any:
        """Return the ONNX ModelProto when it is there.

        Raises ArtifactError when the policy cannot be read or an operation has no ONNX counterpart, RuntimeError when
        the process broke down.
        """
        import onnx

        _, said = self._process.communicate()
        folder = Path(self._output.name)
        if self._process.returncode == _REFUSED:
            refusal = json.loads((folder / _REFUSAL).read_text(encoding="utf-8"))
            raise ArtifactError(refusal["message"], refusal["hint"])
        if self._process.returncode != 0:
            raise RuntimeError(f"graph export process exited with {self._process.returncode}:\n{said}")
        return onnx.load(folder / _MODEL)


def main(folder: Path, opset: int, output: Path) -> int:
    """Convert the policy in ``folder`` and leave the model, or why there is none, in ``output``."""
    from s2rctl.export import graph
    from s2rctl.learning.policy_files import load_policy

    try:
        model = graph.to_onnx(graph.of_policy(load_policy(folder)), opset)
    except (ArtifactError, UsageError) as error:
        (output / _REFUSAL).write_text(json.dumps({"message": str(error), "hint": error.hint}), encoding="utf-8")
        return _REFUSED
    (output / _MODEL).write_bytes(model.SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
