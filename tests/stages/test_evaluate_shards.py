"""Shards are slices of the same episodes: whatever their number, the evaluation is the same one, byte for byte."""

import itertools
import json

import numpy as np
import pytest

from s2rctl.cli.main import main
from s2rctl.core.errors import RunError
from s2rctl.core.progress import NullReporter
from s2rctl.core.resources import data_folder
from s2rctl.evaluation.episodes import Clip, Episode, Episodes, chosen
from s2rctl.schema.load import load_profile
from s2rctl.stages import evaluate_shards
from s2rctl.stages.evaluate_shards import Asked, Played, Slice, together
from s2rctl.stages.work import Spread


def asked(episodes: int, worlds: int) -> Asked:
    sets = [f"evaluate.gate.episodes={episodes}", f"evaluate.worlds={worlds}"]
    return Asked(load_profile("xarm7-smoke", sets).profile, "reach", True, 2)


def test_slices_are_whole_batches_in_a_row():
    assert asked(100, 16).slices(1) == [Slice(0, 100)]
    assert asked(100, 16).slices(3) == [Slice(0, 32), Slice(2, 32), Slice(4, 36)]
    assert asked(100, 16).slices(50) == [Slice(n, 16) for n in range(6)] + [Slice(6, 4)], "no batch is divided"
    assert asked(10, 64).slices(4) == [Slice(0, 10)]
    for shards in range(1, 12):
        parts = asked(100, 16).slices(shards)
        assert sum(part.episodes for part in parts) == 100 and parts[0].first == 0


def test_put_together_they_are_what_one_run_films_and_counts():
    random = np.random.default_rng(0)
    for _ in range(200):
        kinds = ["none", "none", "timeout", "dropped", "lost"]
        records = [
            Episode(i % 4, i // 4, (kind := str(random.choice(kinds))) == "none", False, kind, 3, 0.0)
            for i in range(40)
        ]
        clips = int(random.integers(0, 4))
        cuts = sorted({0, 40, *(4 * random.integers(0, 11, 3)).tolist()})
        parts = []
        for first, last in itertools.pairwise(cuts):
            part = records[first:last]
            taped = tuple(Clip(e, np.zeros((3, 1)), {}) for e in chosen(part, clips))
            parts.append(Episodes(tuple(part), taped, np.full((4, 1), first)))
        whole = together(parts, clips)
        assert whole.episodes == tuple(records) and whole.start[0, 0] == 0
        assert [clip.episode for clip in whole.clips] == chosen(records, clips)


class Lossy:
    """Loses the second piece."""

    def run(self, pieces, reporter):
        for piece in pieces:
            error = RunError("its node died")
            episode = Episode(0, piece.index, True, True, "none", 3, 0.0)
            good = Played(piece.index, Episodes((episode,), (), np.zeros((0, 0))))
            yield piece.lost(error) if piece.index == 1 else good


def test_an_evaluation_without_all_of_its_shards_is_none(monkeypatch):
    pieces = [piece_of(index) for index in range(2)]
    monkeypatch.setattr(evaluate_shards, "_pieces", lambda *arguments: pieces)
    with pytest.raises(RunError, match="shard 2 failed: its node died"):
        evaluate_shards.in_shards(asked(8, 4), None, "", Spread(Lossy(), 2), NullReporter())  # type: ignore[arg-type]


def piece_of(index: int) -> evaluate_shards.Shard:
    return evaluate_shards.Shard(index, f"shard {index + 1}", "", "", {}, False, 0, "", "", Slice(index, 4))


def test_options_that_do_not_go_together(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    assert main(["evaluate", "reach/xarm7", "--on", "ray"]) == 2 and "--shards N" in capsys.readouterr().err
    assert main(["evaluate", "reach/xarm7", "--tiers", "T0", "--shards", "2"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("on", ["local", "ray"])
def test_any_number_of_shards_gives_the_same_artifact(on, tmp_path, monkeypatch, capsys):
    """Episodes, films and figures: the artifact's id covers every byte, and figures outside it are compared, too."""
    if on == "ray":
        pytest.importorskip("ray")
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = data_folder("assets") / "pretrained" / "xarm7-reach.tar"
    assert main(["artifacts", "import", str(archive)]) == 0
    capsys.readouterr()
    words = ["evaluate", "onnx/xarm7-reach:pretrained", "--episodes", "44", "--set", "evaluate.worlds=8", "--json"]
    words += ["--set", "evaluate.gate.success_low=0", "--set", "evaluate.videos=1", "--force"]
    found = []
    for shards in (["--shards", "1"], ["--shards", "2", "--on", on], ["--shards", "9", "--on", on]):
        assert main([*words, *shards]) == 0
        found.append(json.loads(capsys.readouterr().out)["data"])
    first = found[0]
    assert first["episodes"] == 44
    for other in found[1:]:
        assert other == first | {name: other[name] for name in ("duration_s", "seconds") if name in other}
