"""From a profile, a policy or a recording to what the page shows."""

from pathlib import Path

from s2rctl.core.errors import S2rError, UsageError
from s2rctl.core.tables import suggestion
from s2rctl.env.build import make_env, make_model
from s2rctl.evaluation.actors import Act, Actor
from s2rctl.evaluation.controls import expert_of
from s2rctl.evaluation.policies import onnx_policy
from s2rctl.operations.sealed import POLICY_FILE
from s2rctl.schema.load import load_profile
from s2rctl.schema.profile import Profile
from s2rctl.schema.tensors import POSITION
from s2rctl.stages.policies import load_player
from s2rctl.store.store import Artifact
from s2rctl.systems import system_named
from s2rctl.view.episodes import Episodes
from s2rctl.view.recording import SUFFIX, Playback


def is_recording(what: str) -> bool:
    """Return whether a word names a recording, or a folder that recordings are written into."""
    path = Path(what)
    return path.suffix == SUFFIX or (path.is_dir() and any(path.glob(f"*{SUFFIX}")))


def show_expert(profile: Profile, task: str | None) -> Episodes:
    """Return the scripted expert of a task, by default the deployed policy's; UsageError for another system's task."""
    system = system_named(profile.system)
    chosen = task or system.deployed.task
    if chosen not in system.tasks:
        raise UsageError(f"the system {system.name} has no task '{chosen}'", suggestion(chosen, list(system.tasks)))
    profile = with_seen_cameras(profile, chosen)
    env = make_env(profile, chosen, 1, seed=profile.seed, images=bool(profile.vision.cameras))
    return Episodes(env, expert_of(profile, env), profile, f"{profile.name}, expert of {chosen}", profile.seed)


def show_policy(artifact: Artifact, profile: Profile) -> Episodes:
    """Return a policy of the store; the cameras are drawn for one that does not see, too."""
    player = load_player(artifact)
    act = _telling(artifact) or player.act
    profile = with_seen_cameras(profile, player.task)
    env = make_env(profile, player.task, 1, seed=profile.seed, images=bool(profile.vision.cameras))
    return Episodes(env, act, profile, f"{artifact.ref} {artifact.id[:12]}", profile.seed, player.pilot)


def with_seen_cameras(profile: Profile, task: str) -> Profile:
    """Return the profile with those of its cameras that the task's scene has; a policy that sees needs all of them."""
    model = make_model(profile, task)
    known = {model.camera(number).name for number in range(model.ncam)}
    cameras = tuple(camera for camera in profile.vision.cameras if camera.name in known)
    return profile.model_copy(update={"vision": profile.vision.model_copy(update={"cameras": cameras})})


def _telling(artifact: Artifact) -> Act | Actor | None:
    """Return an exported policy that tells where it sees its tool, also where its contract has no figures of that."""
    contract = artifact.manifest.content.contract
    if artifact.manifest.content.kind != "onnx" or contract is None:
        return None
    if POSITION not in (tensor.name for tensor in contract.outputs):
        return None
    return onnx_policy(artifact.path(POLICY_FILE).read_bytes(), contract, (POSITION,))


def show_recording(what: str) -> Playback:
    """Return a recording, with the workspace of the profile that it names where that profile can be found."""
    found = Playback(Path(what))
    try:
        profile = load_profile(found.profile, ()).profile
    except S2rError:
        return found
    return Playback(Path(what), profile.deploy.safety)
