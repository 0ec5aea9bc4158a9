import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.core.errors import ProfileError, UsageError
from s2rctl.schema.load import load_profile, load_resolved, profile_files
from s2rctl.schema.source import read_scalar

SHIPPED = ("aloha", "aloha-reference", "aloha-smoke", "xarm7-reach", "xarm7-smoke")

MINIMAL = """\
name: tiny
system: xarm7-reach
robot: {name: xarm7}
calibration:
  camera: side
vision: {cameras: [{name: side, width: 84, height: 84}]}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def put(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return name

    return put


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_are_valid_and_named_like_their_file(name):
    loaded = load_profile(name)
    assert name in profile_files() and loaded.profile.name == name
    assert loaded.profile.simulation.rate_hz == pytest.approx(20.0)
    assert load_resolved(loaded.profile.model_dump(mode="json")).profile == loaded.profile


def test_extends_merges_mappings_replaces_lists_and_keeps_origins(write):
    write("base.yaml", MINIMAL + "reach:\n  steps: 5\n  hidden: [8, 8]\n  polyak: 1e-1\n")
    loaded = load_profile(write("child.yaml", "extends: base.yaml\nname: child\nreach:\n  hidden: [4]\n"))
    reach = loaded.profile.reach
    assert (loaded.profile.name, reach.steps, reach.hidden, reach.polyak) == ("child", 5, (4,), 0.1)
    assert loaded.origins["reach.steps"] == "base.yaml:8"
    assert loaded.origins["reach.hidden"] == "child.yaml:4"
    listed = {path: origin for path, _, origin in loaded.values()}
    assert listed["reach.batch"] == "default" and listed["name"] == "child.yaml:2"


def test_set_and_seed_win_and_are_the_origin(write):
    loaded = load_profile(
        write("p.yaml", MINIMAL), ["reach.steps=7", "robot.address=10.0.0.3", "vision.appearance.colours=[]"], seed=4
    )
    assert loaded.profile.reach.steps == 7 and loaded.profile.robot.address == "10.0.0.3"
    assert loaded.profile.seed == 4
    assert loaded.origins["reach.steps"] == "--set reach.steps=7" and loaded.origins["seed"] == "--seed 4"
    assert load_profile("aloha", ["vision.appearance.colours.1.grey=true"]).profile.vision.appearance.colours[1].grey
    assert load_profile("aloha", ["vision.depth_noise=null"]).profile.vision.depth_noise is None


def test_all_faults_at_once_with_file_and_line(write):
    text = MINIMAL + "reach:\n  stepz: 5\n  batch: 0\n  polyak: high\nrobto: 3\nseed: -1\n"
    with pytest.raises(ProfileError) as caught:
        load_profile(write("bad.yaml", text), ["tasks.reach.thresold_m=1", "export=3"])
    message = caught.value.message
    assert message.startswith("7 errors in profile bad.yaml\n")
    for line in (
        "bad.yaml:8: reach.stepz: unknown key; did you mean steps?",
        "bad.yaml:9: reach.batch: input should be greater than or equal to 1 (got 0)",
        "bad.yaml:10: reach.polyak: ",
        "bad.yaml:11: robto: unknown key; did you mean robot?",
        "bad.yaml:12: seed: input should be greater than or equal to 0 (got -1)",
        "--set tasks.reach.thresold_m=1: tasks.reach.thresold_m: unknown key; did you mean threshold_m?",
        "--set export=3: export: needs keys of its own",
    ):
        assert line in message
    assert caught.value.hint and int(caught.value.exit_code) == 3


def test_missing_required_key_points_at_its_place(write):
    with pytest.raises(ProfileError, match=r"p.yaml:4: calibration.camera: required, but not given"):
        load_profile(write("p.yaml", MINIMAL.replace("  camera: side", "  poses: 9")))


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("steps=5", "steps: unknown key; did you mean teacher.pick"),
        ("techer.pick.ppo.steps=5", "techer: unknown key; did you mean teacher"),
        ("teacher.pick.ppo.stepps=5", "did you mean steps"),
        ("name.first=x", "'name' has no parts"),
        ("vision.cameras.9.width=16", "has no parts"),
        ("system=hexapod", "system: must be aloha or xarm7-reach (got 'hexapod')"),
    ],
)
def test_wrong_set_is_explained(setting, hint):
    with pytest.raises(ProfileError) as caught:
        load_profile("aloha", [setting])
    assert f"--set {setting}: " in caught.value.message and hint in caught.value.message


@pytest.mark.parametrize("setting", ["steps", "=3", "a..b=1", "seed=[1"])
def test_malformed_set_is_a_usage_error(setting):
    with pytest.raises(UsageError):
        load_profile("aloha", [setting])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1\n", "p.yaml:2: not valid YAML"),
        ("- 1\n", "p.yaml:1: a profile is a mapping"),
        ("", "system: must be aloha or xarm7-reach"),
        ("a: &x [*x]\n", "p.yaml:1"),
        (MINIMAL + "name: twice\n", "p.yaml:7: name: given twice"),
        ("name: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("extends: nowhere.yaml\n", "p.yaml:1: there is no profile file nowhere.yaml"),
        ("extends: alohha\n", "p.yaml:1: there is no profile 'alohha'"),
        ("extends: [a]\n", "p.yaml:1: extends: needs the name"),
        ("extends: p.yaml\n", "p.yaml:1: circular 'extends'"),
    ],
)
def test_unreadable_profiles(write, text, fault):
    with pytest.raises(ProfileError) as caught:
        load_profile(write("p.yaml", text))
    assert fault in caught.value.message


def test_broken_yaml_is_the_only_fault_and_others_come_in_the_order_of_lines(write):
    with pytest.raises(ProfileError) as broken:
        load_profile(write("p.yaml", "name: [x\n"))
    assert "system" not in broken.value.message
    with pytest.raises(ProfileError) as several:
        load_profile(write("q.yaml", "extends: xarm7-smoke\nzebra: 1\nname: [1]\nanother: 2\n"))
    lines = several.value.message.splitlines()[1:]
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4"]


def test_unknown_profile_name_suggests():
    with pytest.raises(ProfileError) as caught:
        load_profile("aloha-smok")
    assert "aloha-smoke" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1_000", 1000),
        ("true", True),
        ("yes", "yes"),
        ("2026-01-01", "2026-01-01"),
        ("", None),
        ("1:30", "1:30"),
        ("[1, 2.5]", [1, 2.5]),
        ("10.0.0.1", "10.0.0.1"),
        ("-.5", -0.5),
        ("null", None),
        ("'3'", "3"),
    ],
)
def test_yaml_scalars_have_no_surprises(text, value):
    assert read_scalar(text) == value and type(read_scalar(text)) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers())
def test_numbers_survive_set(number, whole):
    assert read_scalar(repr(number)) == number
    assert read_scalar(str(whole)) == whole


def test_a_camera_that_shows_nothing_is_refused():
    with pytest.raises(ProfileError) as caught:
        load_profile("xarm7-robust", ["vision.cameras=[{name: side, width: 84, height: 84, colour: false}]"])
    assert "without colour and without depth" in str(caught.value)


@pytest.mark.parametrize("change", ["reach.variant=plain", "extractor.images=0"])
def test_an_extractor_that_learned_nothing_cannot_be_frozen(change):
    load_profile("xarm7-smoke", ["reach.freeze_extractor=true"])
    with pytest.raises(ProfileError, match="nothing learned to freeze"):
        load_profile("xarm7-smoke", ["reach.freeze_extractor=true", change])


def test_a_student_without_colour_cannot_begin_with_pictures_of_things():
    eyes = "vision.cameras=[{name: wrist_cam_left, width: 32, height: 32, colour: false, depth: true}]"
    with pytest.raises(ProfileError, match="sees no colour"):
        load_profile("aloha-smoke", [eyes, "encoder.source=cifar10", "encoder.cifar10=x.tar.gz"])
