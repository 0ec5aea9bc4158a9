"""What README and documentation tell people to type: quick commands run, all others must be what the program reads."""

import importlib.util
import re
import shutil
import tomllib
from functools import cache

import pytest

from s2rctl.cli.main import main
from s2rctl.core.errors import ProfileError
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from tests.docs.pages import PAGES, SHELL, TOP, Block, Call, blocks, calls, mentions, parse, tree

BLOCKS = [block for page in PAGES for block in blocks(page)]
CALLS = [call for block in BLOCKS if block.language in SHELL for call in calls(block)]
OURS = [call for call in CALLS if call.words[0] == "s2rctl"]
MENTIONS = [mention for page in PAGES for mention in mentions(page)]
PLACES = ("PROFILE", "REF", "FILE", "COMMAND", "NAME", "DIR", "STAGE")
"""Words in mentions that stand for something."""
QUICK = (
    "profile list", "profile show", "profile validate", "profile schema", "profile diff", "pipeline plan",
    "pipeline status", "artifacts import", "artifacts list", "artifacts show", "artifacts lineage", "artifacts why",
    "artifacts path", "artifacts verify", "artifacts tag", "artifacts export", "artifacts diff", "artifacts gc",
)  # fmt: skip
"""Commands that take less than a second: they run."""
EXAMPLES = re.compile(r"^(3f2a|99c1|report/aloha|deployment/.*|my/.*|/dev/stdin|other\.yaml|.*:candidate)$")
"""What examples in help texts call something that no reader has yet."""
FREE = (
    "git",
    "cd",
    "tensorboard",
    "pre-commit",
    "source",
    "eval",
    "cat",
    "echo",
    "$EDITOR",
    "exit",
    "sudo",
    "tar",
    "jq",
    "tail",
    "ray",
    "sbatch",
    "srun",
    "scontrol",
    "head",
)
"""What else a reader is told to type, and is not ours to check."""


def is_quick(call: Call) -> bool:
    """Return whether to run it: not with files that only examples have, and not what goes on until a run is done."""
    if "--every" in call.words or any(map(EXAMPLES.match, call.words)):
        return False
    return " ".join(call.words[1:3]) in QUICK or call.words[-1] in ("--help", "--version")


def text(call: Call) -> str:
    return str(call)


def test_there_is_something_to_check():
    assert len(OURS) > 100 and sum(map(is_quick, OURS)) > 30 and len(MENTIONS) > 40


def test_every_shell_block_says_so():
    """A block without a language is read by nobody."""
    silent = [block.place for block in BLOCKS if not block.language]
    assert silent == []
    hidden = [b.place for b in BLOCKS if b.language not in SHELL and re.search(r"(?m)^(\$ )?s2rctl [a-z]", b.text)]
    assert [place for place in hidden if not place.startswith("docs/reference/commands.md")] == []  # its usage lines


@pytest.mark.parametrize("call", OURS, ids=text)
def test_the_program_reads_it(call):
    parse(tuple(word.rstrip("…") or "x" for word in call.words[1:]))


@pytest.mark.parametrize("call", MENTIONS, ids=text)
def test_what_is_mentioned_exists(call):
    words = list(call.words[1:])
    if words[0] in PLACES or words[0].startswith("-"):
        return
    name = next((n for n in (" ".join(words[:2]), words[0]) if n in tree()), None)
    assert name is not None, call
    known = {option for item in tree()[name].params for option in (*item.opts, *item.secondary_opts)} | {"--help"}
    asked = {word.partition("=")[0].strip("[]") for word in words if re.match(r"\[?--?[a-z]", word)}
    assert asked <= known, call


@cache
def targets() -> set[str]:
    return set(re.findall(r"(?m)^([a-z][\w-]*):", (TOP / "Makefile").read_text(encoding="utf-8")))


@cache
def extras() -> set[str]:
    return set(tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])


@pytest.mark.parametrize("call", [call for call in CALLS if call.words[0] != "s2rctl"], ids=text)
def test_what_is_not_ours_exists_too(call):
    program, *words = call.words
    if program == "make":
        assert {word for word in words if "=" not in word} <= targets()
    elif program in ("pip", "pipx", "uv"):
        asked = {
            extra for word in words for found in re.findall(r"s2rctl\[([\w,]+)\]", word) for extra in found.split(",")
        }
        assert asked <= extras()
    elif program.startswith("python"):
        assert words[0] in ("-m", "-c", "--version")
        assert words[0] != "-m" or words[1] in ("venv", "pip") or importlib.util.find_spec(words[1])
    elif program == "bash":
        assert (TOP / words[0]).is_file()
    else:
        assert program in FREE, call


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A working folder with every file that the pages show, a store with the pretrained policies, and nothing else."""
    folder = tmp_path_factory.mktemp("reader")
    for block in BLOCKS:
        if block.title:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.text, encoding="utf-8")
    store = folder / ".s2rctl"
    for name in ("aloha-teachers", "aloha-student", "xarm7-reach"):
        assert main(["artifacts", "import", name, "--store", str(store)]) == 0
    for ref in (
        "teacher/pick",
        "teacher/insert",
        "student/aloha",
        "onnx/aloha-student",
        "reach/xarm7",
        "onnx/xarm7-reach",
    ):
        assert main(["artifacts", "tag", f"{ref}:pretrained", "latest", "--store", str(store)]) == 0
    return folder


@pytest.mark.parametrize("call", [call for call in OURS if is_quick(call)], ids=text)
def test_a_quick_command_succeeds(call, here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    monkeypatch.delenv("S2RCTL_STORE", raising=False)
    code = main(call.words[1:])
    assert (code != 0) == call.fails, capsys.readouterr().err


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.title.endswith(".yaml")], ids=lambda b: f"{b.place} {b.title}"
)
def test_a_profile_that_is_shown_is_one(block: Block, here, monkeypatch):
    monkeypatch.chdir(here)
    assert load_profile(f"./{block.title}").profile.name


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.title.endswith(".py")], ids=lambda b: f"{b.place} {b.title}")
def test_a_program_that_is_shown_runs(block: Block, here, monkeypatch):
    monkeypatch.chdir(here)
    shutil.copy(Store(here / ".s2rctl").resolve("onnx/xarm7-reach").path("policy.onnx"), here / "policy.onnx")
    exec(compile(block.text, block.place, "exec"), {})


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml" and not b.title], ids=lambda b: b.place)
def test_a_part_of_a_profile_that_is_shown_fits_a_system(block: Block, tmp_path):
    faults = []
    for system in ("aloha", "xarm7-reach"):
        path = tmp_path / f"{system}-part.yaml"
        path.write_text(f"extends: {system}\nname: {system}-part\n{block.text}\n", encoding="utf-8")
        try:
            load_profile(str(path))
        except ProfileError as error:
            faults.append(error.message)
    assert len(faults) < 2, faults
