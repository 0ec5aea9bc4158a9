"""Films of episodes: the scene as a camera in the room sees it, and in the corner what the policy saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s2rctl.env.randomise import model_edits
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.episodes import Clip
from s2rctl.evaluation.film import compose, write_mp4
from s2rctl.render.film import Film, viewer_of

SIZE = (640, 480)


def film_clips(
    folder: Path, clips: Sequence[tuple[VecEnv, Clip]], rate_hz: float, before: str = "", every: int = 1
) -> tuple[dict[str, Path], list[dict[str, Any]]]:
    """Film clips, each with the environment it was played in; return the files by name, and what each shows.

    ``before`` begins every file's name; ``every`` leaves steps out, because without a GPU a picture takes a tenth of a
    second.
    """
    files: dict[str, Path] = {}
    shown: list[dict[str, Any]] = []
    if not clips:
        return files, shown
    width, height = SIZE
    model = clips[0][0].model
    with Film(model, viewer_of(model), width, height) as film:
        for number, (env, clip) in enumerate(clips):
            episode = clip.episode
            kind = "success" if episode.success else episode.failure
            name = f"{before}{number}-{kind.replace('_', '-')}.mp4"
            sizes = model_edits(model, env.task.randomised, env.params).get("geom_size")
            size = None if sizes is None else sizes[episode.world]
            frames = (
                compose(film.frame(clip.qpos[step], size), [images[step] for images in clip.images.values()])
                for step in range(0, episode.steps, every)
            )
            write_mp4(folder / name, frames, width, height, rate_hz / every)
            files[name] = folder / name
            shown.append(
                {"file": name, "outcome": kind, "batch": episode.batch, "world": episode.world, "steps": episode.steps}
            )
    return files, shown
