"""Clips of a pair, cut by frame numbers: the right frames at their true times, of any source, made once."""

import json
import shutil
from fractions import Fraction

import numpy as np
import pytest
from clipreel import frames_at
from clipreel.configs.differencing_schema import DifferencingConfig
from clipreel.differencing.api import compare_videos
from clipreel.differencing.records import Clip, Pair
from clipreel.differencing.similarity import tracks_of
from clipreel.tests.media import Recipe, picture, read_code
from PIL import Image

FPS = 60.0  # more than any source: every frame is sampled
UNEVEN = tuple(np.cumsum([0, 20, 60, 20, 20, 140, 30, 30, 90, 40, 20, 20, 200, 20, 40, 60]).tolist())  # milliseconds
STARTS_LATE = {"max_delay": "700000"}  # transport streams begin at 1.4 s


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Sources whose frames show their numbers."""
    folder = tmp_path_factory.mktemp("clips")
    Recipe(frames=40, rate=Fraction(30), options={"bf": "2"}).write(folder / "thirty.mp4")
    Recipe(frames=32, rate=Fraction(24)).write(folder / "twentyfour.mov")
    Recipe(frames=40, rate=Fraction(30000, 1001)).write(folder / "broadcast.mp4")
    Recipe(ticks=UNEVEN, tick=Fraction(1, 1000)).write(folder / "uneven.mp4")
    Recipe(frames=30, rate=Fraction(25), muxer=STARTS_LATE).write(folder / "late.ts")
    (folder / "pictures").mkdir()
    for number in range(25):  # frame_2 comes before frame_10
        Image.fromarray(picture(number, 96, 64)).save(folder / "pictures" / f"frame_{number}.png")
    return folder


def pair_of(a, b, key="p"):
    return Pair(key, "act", "acting", (a, b))


def codes(clip, track):
    batch = frames_at(clip.path, track.file_timestamps_ms, fps=clip.fps if clip.path.is_dir() else None)
    return [read_code(one) for one in batch.pixels]


@pytest.fixture
def tracks(tiny, tmp_path):
    def make(*clips, fps=FPS):
        config = DifferencingConfig(dataset="d", extraction_fps=fps)
        pairs = [pair_of(clip, clip, str(number)) for number, clip in enumerate(clips)]
        return tracks_of(config, pairs, tiny, tmp_path / "features", quiet=True)

    return make


@pytest.mark.parametrize("name", ["thirty.mp4", "twentyfour.mov", "broadcast.mp4", "uneven.mp4", "late.ts", "pictures"])
def test_frames_trim_takes_its_frames_and_no_other(videos, tracks, name):
    """Begin included, end excluded, whatever the dataset says of the rate (here: 8)."""
    count = {"thirty.mp4": 40, "twentyfour.mov": 32, "broadcast.mp4": 40, "uneven.mp4": 16, "late.ts": 30, "pictures": 25}[name]
    clips = [Clip(videos / name, 8.0, begin, end) for begin, end in ((0, None), (0, 7), (5, 12), (9, None), (3, 4), (4, 99))]
    found = tracks(*clips)
    assert found.failed == {}
    for clip in clips:
        track, begin = found.tracks[clip, FPS], clip.begin_frame
        expected = list(range(begin, count if clip.end_frame is None else min(clip.end_frame, count)))
        assert codes(clip, track) == expected
        assert track.timestamps_seconds[0] == 0
        assert track.timestamps_seconds == pytest.approx(found.frame_seconds[clip], abs=2e-3)
        if name == "uneven.mp4":
            assert track.timestamps_seconds == pytest.approx([(UNEVEN[number] - UNEVEN[begin]) / 1000 for number in expected])
        if name == "pictures":
            assert np.diff(track.timestamps_seconds) == pytest.approx([1 / 8] * (len(expected) - 1))


def test_fewer_frames_are_those_on_screen_at_their_times(videos, tracks):
    clip = Clip(videos / "thirty.mp4", None, 10, 40)
    track = tracks(clip, fps=8.0).tracks[clip, 8.0]
    assert track.timestamps_seconds == pytest.approx(np.floor(np.arange(8) / 8 * 30 + 1e-6) / 30)
    assert codes(clip, track) == [10 + int(number / 8 * 30 + 1e-6) for number in range(8)]


def test_what_cannot_be_had_is_a_row_with_its_reason(videos, tracks, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    clips = [Clip(videos / "none.mp4"), Clip(videos / "thirty.mp4", None, 40, 50), Clip(videos / "pictures"),
             Clip(tmp_path / "empty", 8.0), Clip(tmp_path / "text.mp4"), Clip(videos / "thirty.mp4")]
    found = tracks(*clips)
    reasons = [found.failed.get((clip, FPS), "") for clip in clips]
    for reason, said in zip(reasons, ("no such file", "it has 40", "fps_original", "no picture", "text.mp4", ""), strict=True):
        assert said in reason
    assert reasons[-1] == ""
    assert list(found.tracks) == [(clips[-1], FPS)]


def test_copies_and_other_videos_of_the_same_name_are_told_apart(videos, tracks, tmp_path):
    """EgoExo4D's are all called cam01.mp4."""
    clips = []
    for number, source in enumerate(["thirty.mp4", "uneven.mp4", "broadcast.mp4", "thirty.mp4"]):
        (tmp_path / str(number)).mkdir()
        shutil.copy(videos / source, tmp_path / str(number) / "cam01.mp4")
        clips.append(Clip(tmp_path / str(number) / "cam01.mp4"))
    apart = [len(tracks(clip).tracks[clip, FPS]) for clip in clips[1:3]]  # runs of their own, one store
    found = tracks(*clips)
    assert [len(found.tracks[clip, FPS]) for clip in clips] == [40, 16, 40, 40]
    assert apart == [16, 40]
    same, other = found.tracks[clips[0], FPS], found.tracks[clips[3], FPS]
    assert np.array_equal(same.features, other.features)
    assert not np.array_equal(same.features, found.tracks[clips[2], FPS].features)


def proposals(path):
    stages = [{"id": str(number), "name": f"s{number}", "retrieval_strings": [text], "difference_ids": [str(number)]}
              for number, text in enumerate(("a red circle", "a blue square"))]
    path.write_text(json.dumps({"act": {"action": "act", "stages": stages, "differences": [
        {"id": "0", "name": "n", "statement": "a red circle", "span": "frame"},
        {"id": "1", "name": "m", "statement": "it is faster", "span": "several"}]}}))
    return path


@pytest.mark.parametrize("second", ["twentyfour.mov", "uneven.mp4", "pictures", "late.ts"])
def test_a_pair_of_two_rates_goes_through(videos, tiny, tmp_path, second):
    run = compare_videos(videos=[videos / "thirty.mp4", videos / second], action="act", proposals=proposals(tmp_path / "p.json"),
                         encoder=tiny, output_path=tmp_path, fps=25)
    (result,) = run.results
    assert result.reason is None
    assert result.tracks is not None
    assert result.localizations is not None
    for track, localization in zip(result.tracks, result.localizations, strict=True):
        first, last = localization.segmentation.segments[0], localization.segmentation.segments[-1]
        assert (first[0], last[1]) == (0, len(track))
        times = track.timestamps_seconds[list(localization.chosen["1"].frames)]
        assert (np.diff(times) > 0).all()
        assert len(times) == min(3, last[1] - last[0])


@pytest.mark.parametrize("frames", ["spaced", "reference", "uniform", "random"])
@pytest.mark.parametrize("segmentation", ["viterbi", "uniform", "window"])
def test_more_stages_than_frames_goes_through(videos, tiny, tmp_path, frames, segmentation):
    stages = [{"id": str(number), "name": f"s{number}", "retrieval_strings": [f"a {form}"],
               "difference_ids": ["0", "1"] if number == 4 else []}
              for number, form in enumerate(("circle", "square", "ring", "triangle", "red circle"))]
    (tmp_path / "p.json").write_text(json.dumps({"p": {"action": "act", "stages": stages, "differences": [
        {"id": "0", "name": "n", "statement": "a circle", "span": "frame"},
        {"id": "1", "name": "m", "statement": "a large circle", "span": "several"}]}}))
    run = compare_videos(videos=[videos / "thirty.mp4", videos / "uneven.mp4"], action="act", proposals=tmp_path / "p.json",
                         encoder=tiny, output_path=tmp_path, extraction_fps=2, frames=frames, segmentation=segmentation)
    assert run.exit_code == 0
    assert [verdict.difference_id for verdict in run.results[0].verdicts] == ["0", "1"]


def test_annotated_frames_are_found_at_their_true_times(videos, tiny, tmp_path):
    """Numbers count the clip's own frames: of an uneven source, and behind a cut."""
    records = [{
        "sample_key": "s", "action": "act", "action_description": "acting", "domain": "d", "split": "easy",
        "videos": [{"path": "uneven.mp4", "frames_trim": [2, 14, None]}, {"path": "thirty.mp4", "fps_original": 30}],
        "differences_annotated": {"0": {"description": "a red circle"}, "1": {"description": "it is faster", "num_frames": "gt_1"}},
        "differences_gt": {"0": "a", "1": "b"}, "retrieval_frames": [{"0": [3]}, {"1": [0, 39], "0": None}]}]
    (tmp_path / "d.json").write_text(json.dumps(records))
    run = compare_videos(dataset=tmp_path / "d.json", video_root=videos, eval_mode="closed", encoder=tiny, output_path=tmp_path,
                         proposals=proposals(tmp_path / "p.json"), extraction_fps=FPS)
    assert run.localization.clips == 2
    (result,) = run.results
    assert result.tracks is not None
    assert result.localizations is not None
    a, b = result.localizations
    chosen = result.tracks[0].timestamps_seconds[a.chosen["0"].frames[0]]
    first = abs(chosen - (UNEVEN[5] - UNEVEN[2]) / 1000)
    times = result.tracks[1].timestamps_seconds[list(b.chosen["1"].frames)]
    second = np.mean([np.abs(times - 0).min(), np.abs(times - 39 / 30).min()])
    assert run.localization.mean_error_seconds == pytest.approx((first + second) / 2, abs=1e-3)
    assert run.localization.hit_rate == pytest.approx(np.mean([first <= 0.5, second <= 0.5]))
