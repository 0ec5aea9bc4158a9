"""A command started by somebody else: no home, no working folder, and variables that JAX and MuJoCo obey."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from s2rctl.cli.probes import PROBES, examine, examine_environment
from s2rctl.core import foreign
from s2rctl.core.errors import ArtifactError, MissingEnvironmentError, UsageError
from s2rctl.core.paths import expanded

TOP = Path(__file__).resolve().parents[2]
NOBODY = 54321
"""A user id without an entry, hence without a home."""


def program(*words: str, folder: Path, before: tuple[str, ...] = (), **environment: str | None):
    """Run the command line with variables set or, with None, taken away."""
    given = {"PYTHONPATH": str(TOP), "XLA_FLAGS": None, "MUJOCO_GL": None, "JAX_PLATFORMS": None, **environment}
    variables = {name: value for name, value in (os.environ | given).items() if value is not None}
    return subprocess.run(
        [*before, sys.executable, "-m", "s2rctl.cli.main", *words],
        cwd=folder, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def two_lines(done: "subprocess.CompletedProcess[str]") -> bool:
    return [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]


@pytest.fixture
def nobody():
    """Return a function that runs the command line as a user whom nobody knows, without HOME; and its folder."""
    become = ("setpriv", "--reuid", str(NOBODY), "--clear-groups")
    if os.getuid() != 0 or shutil.which(become[0]) is None:
        pytest.skip("only root can become somebody else")
    if subprocess.run([*become, sys.executable, "-c", "import pydantic"], check=False, capture_output=True).returncode:
        pytest.skip("this Python is not for everybody")
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
        folder = Path(place)
        folder.chmod(0o777)

        def run(*words: str, **environment: str | None) -> "subprocess.CompletedProcess[str]":
            return program(*words, folder=folder, before=become, **({"HOME": None} | environment))

        yield run, folder


def test_a_user_without_a_home(nobody):
    run, folder = nobody
    for words in (("--version",), ("--help",), ("profile", "list"), ("artifacts", "list"), ("doctor", "--help")):
        done = run(*words)
        assert (done.returncode, done.stderr) == (0, ""), words
    done = run("profile", "show", "~/x.yaml")
    assert done.returncode == 3 and two_lines(done)
    done = run("artifacts", "list", S2RCTL_STORE="~/store")
    assert done.returncode == 2 and two_lines(done) and "S2RCTL_STORE" in done.stderr
    folder.chmod(0)
    try:
        for variables in ({}, {"S2RCTL_STORE": str(folder / "store")}):  # neither may be looked into
            done = run("artifacts", "list", **variables)
            assert done.returncode == 7 and two_lines(done)
        assert run("--version").returncode == 0
    finally:
        folder.chmod(0o777)


@pytest.mark.parametrize(
    ("store", "code"), [("~nosuchuser/x", 2), ("~nosuchuser", 2), ("x" * 300, 2), ("/" + "x/" * 3000, 2)]
)
def test_a_store_that_cannot_be(tmp_path, store, code):
    for words in (("artifacts", "list"), ("artifacts", "show", "x/y"), ("pipeline", "status", "-p", "xarm7-smoke")):
        done = program(*words, folder=tmp_path, S2RCTL_STORE=store)
        assert done.returncode == code and two_lines(done), (words, done)
        assert "S2RCTL_STORE" in done.stderr
    for words in (("--version",), ("--help",), ("artifacts", "--help"), ("artifacts", "list", "--help")):
        assert program(*words, folder=tmp_path, S2RCTL_STORE=store).returncode == 0
    done = program("artifacts", "list", "--store", store, folder=tmp_path)
    assert done.returncode == code and two_lines(done) and "--store" in done.stderr


def test_homes_in_profiles(tmp_path):
    (tmp_path / "child.yaml").write_text("extends: ~nosuchuser/parent.yaml\n")
    for name in ("~nosuchuser/x.yaml", "child.yaml"):
        done = program("profile", "validate", name, folder=tmp_path)
        assert done.returncode == 3 and two_lines(done) and "~nosuchuser" in done.stderr


def test_a_home_that_nobody_has_is_the_error_that_was_asked_for():
    assert expanded("/a/b") == Path("/a/b") and expanded("~") == Path.home()
    with pytest.raises(UsageError, match="~nosuchuser"):
        expanded("~nosuchuser/x")
    with pytest.raises(ArtifactError):
        expanded(Path("~nosuchuser"), ArtifactError)


def test_odd_homes_and_caches_make_no_folder_where_one_stands(tmp_path):
    for variables in ({"HOME": ""}, {"HOME": "~"}, {"HOME": "here"}, {"XDG_CACHE_HOME": "~nosuchuser/c"}):
        bare = {"JAX_COMPILATION_CACHE_DIR": None, "XDG_CACHE_HOME": None}
        done = program("--version", folder=tmp_path, **(bare | variables))
        assert (done.returncode, done.stderr) == (0, "")
        assert list(tmp_path.iterdir()) == []


def test_a_working_folder_that_is_gone(tmp_path):
    code = "import os, sys; os.rmdir(os.getcwd()); from s2rctl.cli.main import run; run()"
    for words, status in ((("--version",), 0), (("--help",), 0), (("artifacts", "list"), 7), (("profile", "list"), 7)):
        gone = tmp_path / "gone"
        gone.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=gone, env=os.environ | {"PYTHONPATH": str(TOP)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done
        assert status == 0 or two_lines(done)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JAX_PLATFORMS", "nonsense"), ("JAX_DEBUG_NANS", "perhaps"), ("XLA_FLAGS", "--xla_no_such_flag=1"),
        ("MUJOCO_GL", "nonsense"),
    ],
)  # fmt: skip
def test_a_variable_with_which_a_library_does_not_start_is_named(tmp_path, variable, value):
    done = program("render", "xarm7-smoke", folder=tmp_path, **{variable: value})
    assert done.returncode == 7 and two_lines(done), done
    assert f"{variable}={value}" in done.stderr and f"unset {variable}" in done.stderr
    assert "pip install" not in done.stderr


def test_what_needs_no_library_needs_no_right_variables(tmp_path):
    wrong = {
        "JAX_PLATFORMS": "nonsense",
        "XLA_FLAGS": "nonsense",
        "MUJOCO_GL": "nonsense",
        "JAX_ENABLE_X64": "nonsense",
    }
    for words in (("--help",), ("profile", "list"), ("artifacts", "list")):
        done = program(*words, folder=tmp_path, **wrong)
        assert (done.returncode, done.stderr) == (0, "")


def test_jax_platforms_without_that_device(tmp_path):
    if subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"], env=os.environ | {"JAX_PLATFORMS": "cuda"},
        capture_output=True, check=False,
    ).returncode == 0:  # fmt: skip
        pytest.skip("this computer has one")
    done = program("render", "xarm7-smoke", folder=tmp_path, JAX_PLATFORMS="cuda")
    assert done.returncode == 7 and two_lines(done) and "JAX_PLATFORMS=cuda" in done.stderr


def test_what_decides_results_is_the_same_for_everybody(tmp_path):
    variables = {
        "JAX_ENABLE_X64": "1", "JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_DEFAULT_PRNG_IMPL": "rbg", "JAX_RANDOM_SEED_OFFSET": "5", "JAX_DISABLE_JIT": "1", "MPLBACKEND": "nonsense",
    }  # fmt: skip
    # A command of four words instead of a stage of half a minute; what is looked at is how the process was prepared.
    code = (
        "import sys; import s2rctl.cli.main as m\n"
        "def main(args):\n"
        "    import jax, jax.numpy as jnp\n"
        "    key = jax.random.key(3)\n"
        "    print(jax.jit(lambda x: jax.random.normal(key, (2,)) + x)(jnp.ones((1, 2), jnp.int32)), key)\n"
        "    return 0\n"
        "m.main = main; m.run()"
    )
    said = []
    for changed in ({}, variables, {"JAX_ENABLE_X64": "perhaps"}):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(TOP), "XLA_FLAGS": ""} | changed,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done
        said.append(done.stdout)
    assert said[0] == said[1] == said[2]
    environment = {**variables, "JAX_PLATFORMS": "cpu", "HOME": "/"}
    foreign.pin(environment)
    assert environment == {"JAX_PLATFORMS": "cpu", "HOME": "/", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}


def test_only_what_the_user_set_and_may_be_wrong_is_tried():
    jax, mujoco = foreign.LIBRARIES["jax"], foreign.LIBRARIES["mujoco"]
    assert foreign.foreign(jax, {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", "JAX_ENABLE_X64": "1", "HOME": "/"}) == []
    assert foreign.foreign(jax, {"JAX_DEFAULT_MATMUL_PRECISION": "high"}) == []
    assert foreign.foreign(jax, {"XLA_FLAGS": "x", "JAX_PLATFORMS": "cuda"}) == ["JAX_PLATFORMS", "XLA_FLAGS"]
    assert foreign.foreign(mujoco, {"MUJOCO_GL": "egl", "JAX_PLATFORMS": "cuda"}) == ["MUJOCO_GL"]


def test_each_wrong_variable_is_blamed_and_no_right_one(monkeypatch):
    needs = "import os, sys; sys.exit('ValueError: A is ' + os.environ['A'] if os.environ.get('A') == 'bad' else 0)"
    monkeypatch.setitem(foreign.LIBRARIES, "toy", foreign.Library(("A", "B"), {}, needs))
    found = foreign.blame("toy", {"A": "bad", "B": "fine"})
    assert [(blame.variable, blame.reason) for blame in found] == [("A", "ValueError: A is bad")]
    assert foreign.blame("toy", {"A": "good", "B": "fine"}) == []
    # Where it never starts, no variable is to blame.
    monkeypatch.setitem(foreign.LIBRARIES, "toy", foreign.Library(("A", "B"), {}, "raise SystemExit(1)"))
    assert foreign.blame("toy", {"A": "bad"}) == []
    both = "import os, sys; sys.exit(int('A' in os.environ and 'B' in os.environ))"
    monkeypatch.setitem(foreign.LIBRARIES, "toy", foreign.Library(("A", "B"), {}, both))
    (blamed,) = foreign.blame("toy", {"A": "1", "B": "2"})
    assert blamed.variable == "A" and "B" in blamed.reason
    assert isinstance(blamed.error(), MissingEnvironmentError)


def test_doctor_names_the_variable_and_finds_what_is_installed(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "nonsense")
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    finding, sound = examine_environment()
    assert (finding.status, finding.required, finding.hint) == ("failed", True, "unset JAX_PLATFORMS MUJOCO_GL")
    assert "JAX_PLATFORMS=nonsense" in finding.detail and "MUJOCO_GL=nonsense" in finding.detail
    probes = {probe.name: probe for probe in PROBES}
    for name in ("jax", "mujoco"):  # nobody is advised to install them
        assert examine(probes[name], 300, environment=sound).status == "ok"
    for name in ("JAX_PLATFORMS", "MUJOCO_GL"):
        monkeypatch.delenv(name)
    assert examine_environment()[0].status == "ok"


def test_a_renderer_that_gets_no_context_names_what_was_set(tmp_path):
    code = (
        "import mujoco; from s2rctl.render.gl import open_renderer\n"
        "model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size=\"1\"/></worldbody></mujoco>')\n"
        "try:\n    open_renderer(model, 8, 8)\n"
        "except Exception as error:\n    print(int(error.exit_code), error.message, error.hint)\n"
    )
    variables = os.environ | {"PYTHONPATH": str(TOP), "MUJOCO_GL": "egl", "MUJOCO_EGL_DEVICE_ID": "77"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("7 no OpenGL context with MUJOCO_EGL_DEVICE_ID=77"), done
    assert "unset MUJOCO_EGL_DEVICE_ID, or install" in done.stdout
