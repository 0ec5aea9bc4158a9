import subprocess
from pathlib import Path

import s2rctl
from s2rctl.core.interpreter import python

TOP = Path(s2rctl.__file__).parent


def test_what_lies_in_the_working_directory_is_not_imported(tmp_path):
    for name in ("s2rctl", "jax", "numpy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    program = "import numpy, s2rctl; print(s2rctl.__file__)"
    for words in (("-c", program), ("-m", "s2rctl.robots.process")):
        done = subprocess.run(python(*words), cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert "the wrong one" not in done.stderr
        if words[0] == "-c":
            assert done.stdout.strip() == str(TOP / "__init__.py")


def test_all_python_processes_begin_so():
    users = [path for path in TOP.rglob("*.py") if "sys.executable" in path.read_text(encoding="utf-8")]
    assert [path.name for path in users] == ["interpreter.py"]
