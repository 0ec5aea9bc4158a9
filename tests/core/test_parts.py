"""An installation of MuJoCo that an upgrade in place has broken, and packages that are not those of the lock."""

from importlib.metadata import Distribution
from pathlib import Path

from s2rctl.core.parts import locked, mixed, mujoco_parts, unlike


def install(folder: Path, name: str, version: str, *files: str) -> Distribution:
    """Write a package as pip does, and return it."""
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return Distribution.at(about)


def four(folder: Path) -> list[Distribution]:
    return [
        install(folder, "mujoco", "4.0.0", "mujoco/__init__.py"),
        install(folder, "mujoco-core", "4.0.0", "mujoco/batch.py", "mujoco/libmujoco.so.4.0.0", "mujoco/a_test.py"),
        install(folder, "mujoco-studio", "4.0.0", "mujoco/studio/__init__.py"),
    ]


def test_what_is_installed_here_is_one_whole():
    assert len(mujoco_parts()) == 3 and mixed(mujoco_parts()) == []


def test_one_package_until_3_and_three_since_4(tmp_path):
    assert mixed([]) == []
    assert mixed([install(tmp_path / "three", "mujoco", "3.9.0", "mujoco/__init__.py")]) == []
    assert mixed(four(tmp_path / "four")) == []


def test_files_that_the_removal_of_the_old_package_took_along(tmp_path):
    parts = four(tmp_path)
    (tmp_path / "mujoco" / "batch.py").unlink()
    (tmp_path / "mujoco" / "a_test.py").unlink()
    assert mixed(parts) == ["1 files of mujoco-core are gone, such as mujoco/batch.py"]


def test_old_and_new_side_by_side(tmp_path):
    parts = four(tmp_path)
    (tmp_path / "mujoco" / "libmujoco.so.3.9.0").touch()
    assert mixed(parts) == ["two libraries: libmujoco.so.3.9.0, libmujoco.so.4.0.0"]
    other = tmp_path / "other"
    core = install(other, "mujoco-core", "4.0.0", "mujoco/batch.py")
    old = install(other, "mujoco", "3.9.0", "mujoco/__init__.py")
    assert mixed([old, core]) == ["versions differ: mujoco 3.9.0, mujoco-core 4.0.0"]
    assert mixed([install(tmp_path / "alone", "mujoco", "4.0.0", "mujoco/__init__.py")]) == ["mujoco-core is missing"]


def test_of_versions_for_different_pythons_this_one_counts():
    older, newer = "numpy==2.4 ; python_full_version < '3.0' \\", "numpy==2.5 ; python_full_version >= '3.0' \\"
    assert locked("\n".join([older, newer])) == locked("\n".join([newer, older])) == {"numpy": "2.5"}
    assert locked("winsock==1 ; sys_platform == 'nowhere'") == {}


def test_versions_against_the_lock():
    lines = [
        "# made by a tool",
        "jax==0.10.2 \\",
        "    --hash=sha256:00",
        "Typing_Extensions==4.1 ; python_version < '4'",
    ]
    lock = locked("\n".join([*lines, "uvicorn[x]==1"]))
    assert lock == {"jax": "0.10.2", "typing-extensions": "4.1", "uvicorn": "1"}
    assert unlike(lock, [("JAX", "0.10.2"), ("typing.extensions", "4.2"), ("other", "1")]) == [
        "typing-extensions 4.2 (lock: 4.1)"
    ]
