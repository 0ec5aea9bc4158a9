"""``reproduce REF``: whether an artifact can be had again."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2rctl.cli.artifacts_origin import rate_text
from s2rctl.cli.output import Answer, lines
from s2rctl.cli.refs import RefArgument
from s2rctl.cli.session import Session, register

if TYPE_CHECKING:
    from s2rctl.core.errors import RunError
    from s2rctl.pipeline.reproduce import FileVerdict, Reproduction
    from s2rctl.store.store import Artifact


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "reproduce")(reproduce)


def reproduce(
    session: Session,
    ref: RefArgument,
    keep: Annotated[
        bool, typer.Option("--keep", help="Publish the result; it replaces an original that is damaged.")
    ] = False,
) -> Answer:
    """Make an artifact again from its manifest, and say whether it came out equal: bitwise, statistically, or not.

    Same stage, profile, seed and inputs. How long things took is not compared, nor are pictures and recordings.
    Exit code 1 if the result is different.

    Examples:
      s2rctl reproduce evaluation/aloha-student
      s2rctl reproduce 3f2a --keep

    """
    from s2rctl.pipeline.reproduce import Again
    from s2rctl.pipeline.reproduce import reproduce as run
    from s2rctl.pipeline.run import command

    store = session.store()
    artifact = store.resolve(ref)
    resume = command("s2rctl", *session.argv)
    found = run(Again.of(artifact), store, session.reporter, keep=keep, resume=resume)
    return Answer(_data(artifact, found), _text(artifact, found), _fault(artifact, found))


def _data(artifact: "Artifact", found: "Reproduction") -> dict[str, Any]:
    from dataclasses import asdict

    first = found.first
    return {
        "id": artifact.id,
        "ref": artifact.ref,
        "verdict": found.verdict,
        "files": [asdict(file) for file in found.files],
        "first_difference": asdict(first) if first is not None else None,
        "rates": [asdict(rate) for rate in found.rates],
        "changed_since": list(found.then_and_now),
        "kept": found.kept.id if found.kept is not None else None,
        "healed": found.kept is not None and found.kept.id == artifact.id,
    }


def _text(artifact: "Artifact", found: "Reproduction") -> str:
    said = [f"{artifact.ref} {artifact.id[:12]}: {found.verdict} ({found.bitwise} of {len(found.files)} files bitwise)"]
    said += [f"  {_file(file)}" for file in found.files if file.state != "equal"]
    said += [f"not as it was: {change}" for change in found.then_and_now]
    if found.kept is not None:
        whole = found.kept.id == artifact.id
        said.append(f"{'the original is whole' if whole else 'kept as'} {found.kept.ref} {found.kept.id[:12]}")
    parts = [lines(said)]
    if found.rates and found.verdict != "bitwise equal":
        parts.append(rate_text(list(found.rates), "original", "again"))
    return "\n\n".join(parts)


_WORDS = {"times": "only measured times differ", "missing": "was not made again", "new": "was not there before"}


def _file(file: "FileVerdict") -> str:
    if file.state != "differs":
        return f"{file.path}: {_WORDS[file.state]}"
    besides = "" if file.counts else " (not part of the verdict)"
    if file.place is None:
        return f"{file.path}: differs; the original is damaged{besides}"
    place = file.place
    more = f"; {place.more}" if place.more else ""
    return f"{file.path}: first difference at {place.where}: {place.left} -> {place.right}{more}{besides}"


def _fault(artifact: "Artifact", found: "Reproduction") -> "RunError | None":
    from s2rctl.core.errors import RunError

    if found.verdict != "different":
        return None
    kept = found.kept
    if kept is not None and kept.manifest.content.kind in ("teacher", "student", "reach", "onnx"):
        hint = f"play both: s2rctl evaluate {kept.id[:12]} --against {artifact.id[:12]}"
    else:
        hint = f"s2rctl reproduce {artifact.id[:12]} --keep   (keeps the result, to compare it)"
    where = f", first in {_file(found.first)}" if found.first is not None else ", in its contract"
    return RunError(f"{artifact.ref} came out different{where}", hint)
