"""Processes that draw: each has its own OpenGL context and its share of the worlds."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import IO, Any

import mujoco
import numpy as np

from s2rctl.core.errors import MissingEnvironmentError, RunError, UsageError
from s2rctl.core.interpreter import python
from s2rctl.render.laboratory.memory import Sizes, open_memory
from s2rctl.render.laboratory.meshes import Mesh
from s2rctl.render.laboratory.stage import build_stage

PROCESSES = 2
_STOP_S = 5.0
_ROOT = Path(__file__).parents[3]


class Pool:
    """Draws all worlds of one scene in ``processes`` other processes; they end with this object or this process."""

    def __init__(
        self,
        model: Any,
        cameras: np.ndarray,
        meshes: tuple[Mesh, ...],
        sizes: Sizes,
        *,
        depth: bool = True,
        pictures: str = "",
        processes: int = PROCESSES,
    ) -> None:
        self.sizes = sizes
        self._lock = threading.Lock()
        shares = [part for part in np.array_split(np.arange(sizes.worlds), min(processes, sizes.worlds)) if len(part)]
        with tempfile.TemporaryDirectory(prefix="s2rctl-look-", dir=_shared_folder()) as name:
            folder = Path(name)
            stage, plan = build_stage(model, cameras, meshes, max(len(share) for share in shares))
            mujoco.mj_saveModel(stage, str(folder / "stage.mjb"))
            plan.save(folder / "plan.npz")
            self._arrays = open_memory(folder / "memory", sizes, create=True)
            job: dict[str, Any] = {"folder": name, "memory": str(folder / "memory"), "sizes": asdict(sizes)}
            job |= {"pictures": pictures, "depth": depth}
            self._workers = [_Worker({**job, "first": int(part[0]), "count": len(part)}) for part in shares]
            self._end = weakref.finalize(self, _end, self._workers)
            try:
                for worker in self._workers:
                    worker.expect("ready")
            except BaseException:
                self._end()
                raise
        # the folder is gone, the memory lives as long as somebody has it mapped: nothing is left behind by any end

    @property
    def ended(self) -> bool:
        """Whether the processes have ended: nothing can be drawn any more."""
        return not self._end.alive

    def close(self) -> None:
        """End the processes."""
        self._end()

    def draw(self, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return rgb (B, C, H, W, 3) uint8 and depth (B, C, H, W) float32 m of worlds as memory.py describes them."""
        with self._lock:
            for name, values in inputs.items():
                self._arrays[name][:] = values
            try:
                for worker in self._workers:
                    worker.ask()
                for worker in self._workers:
                    worker.expect("done")
            except BaseException:
                self._end()
                raise
            return np.array(self._arrays["rgb"]), np.array(self._arrays["depth"])


class _Worker:
    """One process and its two pipes; what it says to nobody in particular is kept for its last words."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            python("-m", "s2rctl.render.laboratory.worker", json.dumps(job)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for who started us
        )

    def ask(self) -> None:
        """Ask for one round."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"draw\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._dead() from error

    def expect(self, word: str) -> None:
        """Wait for an answer; raise what the process failed with."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().decode("utf-8", "replace").strip()
        if answer.startswith("failed "):
            raise _failure(*json.loads(answer.removeprefix("failed ")))
        if answer != word:
            raise self._dead()

    def stop(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # what was not read any more
                    pass
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _dead(self) -> RunError:
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        why = f": {words[-1]}" if words else ""
        return RunError(
            f"a process that draws the laboratory's pictures has ended (exit code {code}){why}",
            "run the command again; if memory ran out, with fewer worlds",
        )


@cache
def require_opengl() -> None:
    """Raise MissingEnvironmentError where a drawing process cannot make its context.

    Asked for before the first picture: what is raised inside compiled code arrives as an error of JAX.
    """
    worker = _Worker({})
    try:
        worker.expect("ready")
    except RunError as error:
        raise _failure("OpenGL", error.message, "") from error
    finally:
        worker.stop()


def _failure(kind: str, message: str, hint: str) -> Exception:
    if kind in ("UsageError", "MissingEnvironmentError"):
        return (UsageError if kind == "UsageError" else MissingEnvironmentError)(message, hint)
    return MissingEnvironmentError(
        f"the laboratory's pictures need OpenGL: {kind}: {message}",
        "install EGL (Debian: apt-get install libegl1 libgl1-mesa-dri)",
    )


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.stop()


def _shared_folder() -> str | None:
    """Return where files stay in memory, if there is such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _environment() -> dict[str, str]:
    """Return the variables of a drawing process: EGL unless something else is asked for, and one thread each."""
    variables = dict(os.environ)
    if sys.platform.startswith("linux") and not variables.get("DISPLAY"):
        variables.setdefault("MUJOCO_GL", "egl")
    for name in ("LP_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        variables[name] = "1"
    paths = [str(_ROOT), *filter(None, [variables.get("PYTHONPATH")])]
    return {**variables, "PYTHONPATH": os.pathsep.join(paths)}
