"""Run all benchmarks and print their tables: ``python -m benchmarks [name ...]``."""

import importlib
import os
import sys

NAMES = ("startup", "calls", "physics", "render", "looks", "training", "stores", "faults", "collectors")


def main() -> None:
    """Run the named benchmarks, or all of them."""
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")  # read by MuJoCo when it is first imported
    for name in sys.argv[1:] or NAMES:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
