"""What is published: version, changelog and metadata agree, and the wheel holds all that a command needs."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest

from s2rctl import __version__
from tests.docs.pages import TOP

PYPROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_changelog_has_the_version_or_what_is_to_come():
    headings = re.findall(r"(?m)^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", (TOP / "CHANGELOG.md").read_text("utf-8"))
    assert headings[0] == ("Unreleased", "")
    assert all(date for _, date in headings[1:])
    assert __version__.endswith(".dev0") or headings[1][0] == __version__


def test_the_promised_pythons_are_those_that_are_tested():
    promised = {c.rpartition(" ")[2] for c in PYPROJECT["project"]["classifiers"] if "Python :: 3." in c}
    workflow = (TOP / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'"(3\.\d+)"', workflow.split("steps:")[0])) == promised
    assert f">={min(promised, key=lambda v: int(v[2:]))}" == PYPROJECT["project"]["requires-python"]


def test_every_workflow_runs_what_ci_runs():
    for workflow in (TOP / ".github" / "workflows").glob("*.yml"):
        assert "bash .ci/run" in workflow.read_text(encoding="utf-8"), workflow.name
    script = (TOP / ".ci" / "run").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z]+):", (TOP / "Makefile").read_text(encoding="utf-8")))
    assert (
        {"lint", "types", "law", "test", "smoke", "docs", "dist"}
        <= set(re.findall(r"(?m)^make (\w+)", script))
        <= targets
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with sdist and wheel, as ``make dist`` makes them."""
    folder = tmp_path_factory.mktemp("dist")
    call = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(call, cwd=TOP, check=True, capture_output=True)
    return folder


def test_the_wheel_holds_code_profiles_and_assets_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    ours = {str(file.relative_to(TOP)) for file in (TOP / "s2rctl").rglob("*.py")} | {"s2rctl/py.typed"}
    data = {
        f"s2rctl/_data/{f.relative_to(TOP)}"
        for d in ("profiles", "assets")
        for f in (TOP / d).rglob("*")
        if f.is_file()
    }
    meta = {name for name in names if ".dist-info/" in name}
    assert set(names) - meta == ours | data
    assert any(name.endswith("licenses/LICENSE") for name in meta)
    assert wheel.name == f"s2rctl-{__version__}-py3-none-any.whl"


def test_the_wheel_works_from_elsewhere(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = "import sys; from s2rctl.cli.main import main; sys.exit(main(sys.argv[1:]))"
    for words in (["profile", "validate", "aloha"], ["artifacts", "import", "xarm7-reach", "--store", "store"]):
        call = [sys.executable, "-c", program, *words]
        done = subprocess.run(
            call, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_sdist_builds_the_wheel_and_has_the_tests(built):
    (sdist,) = built.glob("*.tar.gz")
    names = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "profiles/aloha.yaml",
        "docs/quickstart.md",
        "mkdocs.yml",
    } <= names
    assert {"tests/conftest.py", "assets/pretrained/xarm7-reach.tar", "s2rctl/cli/app.py", "Makefile"} <= names
    assert not [name for name in names if name.endswith(".pyc") or name.startswith((".venv", ".s2rctl", "build"))]
