"""``artifacts export|import|verify|gc|rm``: passing artifacts on and keeping the store in order."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2rctl.cli import complete
from s2rctl.cli.describe import size
from s2rctl.cli.output import Answer, lines, table
from s2rctl.cli.session import Session, register

if TYPE_CHECKING:
    from s2rctl.store.verify import Problem

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Confirm the deletion.")]


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group ``artifacts``."""
    register(group, "export", "artifacts")(export)
    register(group, "import", "artifacts")(import_file)
    register(group, "verify", "artifacts")(verify)
    register(group, "gc", "artifacts")(gc)
    register(group, "rm", "artifacts")(rm)


def export(
    session: Session,
    refs_and_file: Annotated[list[str], typer.Argument(metavar="REF... FILE", help="Artifacts, then the .tar file.")],
    alias: Annotated[
        str | None, typer.Option("--alias", help="Alias that importing sets (default: the ref's own, else 'imported').")
    ] = None,
    parents: Annotated[bool, typer.Option(help="Include everything they were made from.")] = True,
) -> Answer:
    """Write artifacts to one uncompressed .tar file (reproducible: same content, same bytes).

    Examples:
      s2rctl artifacts export onnx/aloha-student student.tar
      s2rctl artifacts export teacher/pick teacher/insert teachers.tar --alias pretrained
      s2rctl artifacts export onnx/aloha-student - | ssh robot s2rctl artifacts import /dev/stdin

    """
    from s2rctl.core.atomic import is_stdout, replacing
    from s2rctl.core.errors import UsageError
    from s2rctl.store.archive import export_archive
    from s2rctl.store.refs import check_alias, split

    if len(refs_and_file) < 2:
        raise UsageError("give at least one artifact and the file to write", "s2rctl artifacts export REF... FILE")
    *refs, target = refs_and_file
    if target.endswith("/"):
        raise UsageError(f"{target} is a folder", "name a new or a regular file: s2rctl artifacts export REF... FILE")
    if alias is not None:
        check_alias(alias)
    store = session.store()
    chosen = {}
    for ref in refs:
        artifact = store.resolve(ref)
        parts = split(ref)
        own = parts[2] if parts and parts[2] != "latest" else "imported"
        chosen[f"{artifact.ref}:{alias or own}"] = artifact
    with replacing(Path(target)) as temporary:
        identities = export_archive(store, chosen, temporary, parents)
        written = temporary.stat().st_size
    data = {"path": target, "bytes": written, "refs": {ref: a.id for ref, a in chosen.items()}, "ids": identities}
    text = f"{target}: {len(identities)} artifacts, {size(written)}"
    return Answer(data, text, stdout_taken=is_stdout(Path(target)))


def import_file(
    session: Session,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|NAME", help="A .tar file that 'artifacts export' wrote, or a pretrained one by its name."
        ),
    ],
    alias: Annotated[str | None, typer.Option("--alias", help="Alias to set instead of the file's own.")] = None,
) -> Answer:
    """Read artifacts from a .tar file. Everything is checked; nothing in it is executed.

    Examples:
      s2rctl artifacts import aloha-teachers
      s2rctl artifacts import teachers.tar --alias colleague

    """
    from s2rctl.core.errors import ArtifactError
    from s2rctl.core.resources import pretrained
    from s2rctl.store.archive import import_archive

    ready = pretrained()
    there = _is_there(file)
    if not there and str(file) not in ready:
        raise ArtifactError(f"there is no file {file}", f"pretrained ones: {', '.join(ready) or 'none'}")
    done = import_archive(session.store(), file if there else ready[str(file)], alias)
    rows = [(ref, identity[:12]) for ref, identity in sorted(done.refs.items())]
    return Answer({"ids": list(done.ids), "refs": done.refs}, table(("ref", "id"), rows))


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # a name that is too long, a folder that one may not enter: reading it says what is wrong
        return True


def verify(
    session: Session,
    full: Annotated[bool, typer.Option("--full", help="Hash every file (default: check sizes only).")] = False,
) -> Answer:
    """Check the store. Damaged files are moved to quarantine/, and everything that needs them is listed.

    Examples:
      s2rctl artifacts verify
      s2rctl artifacts verify --full --json

    """
    from s2rctl.core.errors import ArtifactError
    from s2rctl.store.location import find_store
    from s2rctl.store.store import Store
    from s2rctl.store.verify import verify as check

    store = Store(find_store(session.store_option), repair=True)
    verdict = check(store, full)
    problems = [
        {
            "fault": problem.fault,
            "what": problem.what,
            "affected": list(problem.affected),
            "hint": problem.hint,
            "quarantined": problem.quarantined,
            "rebuild": list(problem.rebuild),
        }
        for problem in verdict.problems
    ]
    data = {"manifests": verdict.manifests, "blobs": verdict.blobs, "full": full, "problems": problems}
    text = f"{verdict.manifests} artifacts, {verdict.blobs} files: "
    if verdict.clean:
        return Answer(data, text + ("all whole" if full else "all there (--full also hashes them)"))
    faults = [line for problem in verdict.problems for line in _problem_lines(problem)]
    fault = ArtifactError(f"{len(problems)} problems in the store {store.root}", verdict.problems[0].hint)
    return Answer(data, lines([text + "faults", *faults]), fault)


def _problem_lines(problem: "Problem") -> list[str]:
    """Return a fault, then each affected artifact with the command that makes it again."""
    moved = f"; set aside: {problem.quarantined}" if problem.quarantined else ""
    if len(problem.rebuild) != len(problem.affected):
        affected = f"; affects {', '.join(problem.affected)}" if problem.affected else "; affects nothing"
        return [f"{problem.fault}: {problem.what}{affected}; {problem.hint}{moved}"]
    pairs = zip(problem.affected, problem.rebuild, strict=True)
    return [f"{problem.fault}: {problem.what}{moved}", *(f"  {name}: {command}" for name, command in pairs)]


def gc(session: Session, yes: YesOption = False) -> Answer:
    """List what no ref reaches, and delete it with --yes. Anything younger than an hour is kept.

    Examples:
      s2rctl artifacts gc
      s2rctl artifacts gc --yes

    """
    from s2rctl.store.gc import collect, find_garbage

    store = session.store()
    garbage = collect(store) if yes else find_garbage(store)
    data = {
        "deleted": yes,
        "manifests": list(garbage.manifests),
        "blobs": list(garbage.blobs),
        "leftovers": [str(path) for path in garbage.leftovers],
        "bytes": garbage.size,
    }
    amount = f"{len(garbage.manifests)} artifacts, {len(garbage.blobs)} files, {len(garbage.leftovers)} leftovers"
    text = f"{'deleted' if yes else 'would delete'} {amount}, {size(garbage.size)}"
    return Answer(data, text if yes or not garbage.size else text + "\ndelete them: s2rctl artifacts gc --yes")


def rm(
    session: Session,
    ref: Annotated[str, complete.ref("kind/name[:alias], or an id prefix.")],
    yes: YesOption = False,
) -> Answer:
    """Remove an artifact and its refs. The next gc deletes its files.

    Examples:
      s2rctl artifacts rm student/aloha:candidate --yes
      s2rctl artifacts rm 3f2a --yes

    """
    from s2rctl.core.errors import ArtifactError, UsageError
    from s2rctl.store.gc import remove, remove_ref

    store = session.store()
    try:
        artifact = store.resolve(ref)
    except ArtifactError:
        name = ref if ":" in ref else f"{ref}:latest"
        if name not in store.refs.all():
            raise
        if not yes:
            raise UsageError(
                f"this removes the ref {name}, whose artifact is gone", f"s2rctl artifacts rm {ref} --yes"
            ) from None
        remove_ref(store, name, "artifacts rm")
        return Answer({"refs": [name], "id": None}, f"removed the ref {name}")
    if not yes:
        raise UsageError(f"this removes {artifact.ref} ({artifact.id[:12]})", f"s2rctl artifacts rm {ref} --yes")
    refs = remove(store, artifact, "artifacts rm")
    return Answer({"id": artifact.id, "refs": refs}, f"removed {artifact.ref} {artifact.id[:12]} ({', '.join(refs)})")
