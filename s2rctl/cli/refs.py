"""Commands that start from an artifact: which profile and which graph it belongs to."""

from typing import TYPE_CHECKING, Annotated

from s2rctl.cli import complete
from s2rctl.core.errors import ArtifactError

if TYPE_CHECKING:
    from s2rctl.cli.session import Session
    from s2rctl.schema.profile import Profile
    from s2rctl.store.store import Artifact

RefArgument = Annotated[str, complete.ref("kind/name[:alias], or an id prefix.")]


def profile_for(
    session: "Session", artifact: "Artifact", profile: str | None, sets: list[str] | None, seed: int | None
) -> "Profile":
    """Return the profile asked for, or the one that the artifact was made with; ``sets`` and ``seed`` on top."""
    if profile is not None:
        return session.load(profile, sets, seed).profile
    from s2rctl.schema.load import load_resolved

    return load_resolved(artifact.manifest.content.profile, sets or (), seed).profile


def require_kind(artifact: "Artifact", kinds: tuple[str, ...], command: str) -> None:
    """Raise ArtifactError unless the artifact is of one of the kinds."""
    kind = artifact.manifest.content.kind
    if kind not in kinds:
        raise ArtifactError(
            f"{command} needs {' or '.join(kinds)}, but {artifact.ref} is of kind '{kind}'",
            f"s2rctl artifacts list --kind {kinds[0]}",
        )
