"""The whole chain on drawn pairs: verdicts that depend on the frames that localization picked."""

import json

import pytest
from clipreel.differencing.api import compare_videos, evaluate_differences
from clipreel.sample.pairs import draw_pair


def compare(world, tiny, tmp_path, **keys):
    return compare_videos(dataset=world / "pairs.json", proposals=world / "proposals.json", eval_mode="closed", encoder=tiny,
                          output_path=tmp_path, **keys)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """One output folder: the clips' features are made once."""
    return tmp_path_factory.mktemp("differencing")


def accuracy(run, world):
    scored = evaluate_differences(predictions=run.folder / "predictions.json", dataset=world / "pairs.json", split="all")
    return scored.overall


def by_kind(run):
    found = {}
    for result in run.results:
        drawn = {one.id: one for one in draw_pair(int(result.pair.key.rpartition("_")[2])).differences}
        for verdict in result.verdicts:
            one = drawn[verdict.difference_id]
            found.setdefault(one.kind, []).append(verdict.answer == one.label)
    return found


def test_a_judge_that_sees_is_right_on_localized_frames_and_not_on_random_ones(world, tiny, features, eyes):
    keys = {"judge": "openai", "base_url": eyes, "judge_model": "eyes", "cache_path": features / "cache.sqlite"}
    localized = accuracy(compare(world, tiny, features, name="localized", **keys), world)
    published = accuracy(compare(world, tiny, features, name="published", frames="reference", **keys), world)
    drawn = accuracy(compare(world, tiny, features, name="random", frames="random", **keys), world)
    assert localized.n >= 200
    assert localized.right >= 0.9
    assert published.right >= 0.8
    assert drawn.right <= localized.right - 0.2


def test_a_second_run_asks_nothing(world, tiny, features, eyes):
    keys = {"judge": "openai", "base_url": eyes, "judge_model": "eyes", "cache_path": features / "cache.sqlite", "swap": True,
            "subset_mode": "5_per_action"}
    first = compare(world, tiny, features, name="swapped", **keys)
    again = compare(world, tiny, features, name="swapped", **{**keys, "cache": "replay", "base_url": None})
    assert first.run["calls"]["calls"] + first.run["calls"]["cached"] == 30
    assert (again.run["calls"]["calls"], again.run["calls"]["cached"]) == (0, 30)
    assert (again.folder / "predictions.json").read_bytes() == (first.folder / "predictions.json").read_bytes()
    assert {verdict.confidence for result in first.results for verdict in result.verdicts} <= {0.0, 1.0}


def test_the_judge_without_a_key_tells_colours_and_shapes(world, tiny, features):
    run = compare(world, tiny, features, name="clip")
    kinds = by_kind(run)
    told = kinds["colour"] + kinds["shape"]
    assert len(told) >= 40
    assert sum(told) / len(told) >= 0.75
    assert run.run["answers"]["none"] == 0  # a benchmark run names a video


def test_stages_are_where_they_were_drawn(world, tiny, features):
    run = compare(world, tiny, features, name="stages", frames="reference")
    assert run.localization.hit_rate is not None
    assert run.localization.hit_rate >= 0.9
    drawn = compare(world, tiny, features, name="drawn", frames="random").localization.hit_rate
    assert drawn is not None
    assert drawn <= run.localization.hit_rate - 0.3


def test_what_a_closed_run_does_not_score_is_not_asked(world, tiny, features, tmp_path, serve):
    records = json.loads((world / "pairs.json").read_text())[:2]
    for record in records:
        record["differences_gt"] = json.dumps({"0": "a", "1": "c", "2": None})
        record["videos"] = record["videos"].replace("pair_", f"{world}/pair_")
    (tmp_path / "pairs.json").write_text(json.dumps(records))
    server = serve(lambda body, number: json.dumps({"explanation": "", "answer": "a"}))
    run = compare_videos(dataset=tmp_path / "pairs.json", proposals=world / "proposals.json", eval_mode="closed", encoder=tiny,
                         output_path=tmp_path, judge="openai", base_url=server.url, cache="off")
    assert len(server.requests) == 2
    assert [[verdict.difference_id for verdict in result.verdicts] for result in run.results] == [["0"], ["0"]]


def test_a_pair_that_fails_is_a_row(world, tiny, tmp_path):
    records = json.loads((world / "pairs.json").read_text())[:3]
    records[1]["videos"] = records[1]["videos"].replace("_b.mp4", "_gone.mp4")
    for record in records:
        record["videos"] = record["videos"].replace("pair_", f"{world}/pair_")
    (tmp_path / "pairs.json").write_text(json.dumps(records))
    run = compare_videos(dataset=tmp_path / "pairs.json", proposals=world / "proposals.json", eval_mode="closed", encoder=tiny,
                         output_path=tmp_path)
    assert run.exit_code == 1
    assert [result.reason is None for result in run.results] == [True, False, True]
    assert "gone.mp4" in (run.results[1].reason or "")
    assert set(json.loads((run.folder / "predictions.json").read_text())) == {records[0]["sample_key"], records[2]["sample_key"]}
