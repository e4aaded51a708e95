"""Pictures and copies of videos of every kind: the right frame, upright, with its sound, cut where it was asked."""

import av
import numpy as np
import pytest
from clipreel import frames_at
from clipreel.errors import OutputError, UnreadableVideoError
from clipreel.investigator.control import Control, StoppedError
from clipreel.investigator.frame_picture import frame_at
from clipreel.investigator.probe import probe
from clipreel.investigator.thumbnails import Thumbnails
from clipreel.investigator.transcode import copy_part, encode_part
from clipreel.tests.investigator.coded_videos import copy_later, scenes_script, write_coded
from clipreel.tests.media import read_code


@pytest.mark.parametrize("name", [
    "h264.mp4", "h264.ts", "h264.avi", "raw.h264", "h264_open_gop.mp4", "h264_intra_refresh.mp4", "vp9.webm", "edit_list.mp4",
    "irregular.mkv", "ntsc.mkv", "turned_90.mp4", "late_video.mp4", "negative_start.mkv", "wide_pixels.mp4", "no_index.mkv"])
def test_the_frame_of_an_instant_is_foundation_s(zoo, name):
    path = zoo(name)
    for time_ms in (0.0, 39.9, 40.0, 333.3, 600.0, 999.0, 9999.0):
        truth = frames_at(path, [time_ms])
        found, picture = frame_at(path, time_ms)
        assert found == pytest.approx(truth.timestamps_ms[0], abs=0.01)
        np.testing.assert_array_equal(picture, truth.pixels[0])


@pytest.mark.parametrize(("name", "form"), [("hevc.mp4", "webm"), ("mpeg4.avi", "mp4"), ("turned_90.mp4", "mp4"),
                                            ("h264_10_bit.mp4", "mp4"), ("h264.ts", "mp4")])
def test_a_copy_shows_the_same_frames_at_the_same_times(zoo, tmp_path, name, form):
    path, target, told = zoo(name), tmp_path / f"copy.{form}", []
    encode_part(path, target, form, 0.0, float("inf"), told.append)
    assert told == sorted(told) and len(told) == 36
    times = [0.0, 400.0, 1240.0]
    copy, truth = frames_at(target, times), frames_at(path, times)
    assert copy.timestamps_ms == pytest.approx(truth.timestamps_ms, abs=2)
    assert [read_code(one) for one in copy.pixels] == [read_code(one) for one in truth.pixels]
    assert abs(copy.pixels.astype(int) - truth.pixels.astype(int)).mean() < 12
    assert str(probe(target).mime).startswith(f"video/{form}")


def test_a_part_is_cut_to_the_frame_with_its_sound(sample_videos, tmp_path):
    path = next(video for video in sample_videos if "tone" in video.name)
    target = tmp_path / "part.mp4"
    encode_part(path, target, "mp4", 1000.0, 2000.0, lambda done: None)
    said = probe(target)
    assert said.audio_codec == "aac" and said.duration_ms == pytest.approx(1000, abs=60)
    copy, truth = frames_at(target, [0.0, 500.0]), frames_at(path, [1000.0, 1500.0])
    assert abs(copy.pixels.astype(int) - truth.pixels.astype(int)).mean() < 6
    with av.open(str(target)) as container:
        loud = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    assert abs(loud).max() > 0.05


@pytest.mark.parametrize(("later", "picture", "tone"), [("video", 0.5, 0.0), ("audio", 0.0, 0.5)])
def test_sound_and_picture_that_do_not_begin_together_stay_together(sample_videos, tmp_path, later, picture, tone):
    path = next(video for video in sample_videos if "tone" in video.name)
    copy_later(path, tmp_path / "apart.mkv", 1.5, later)
    encode_part(tmp_path / "apart.mkv", tmp_path / "part.mp4", "mp4", 1000.0, 2000.0, lambda done: None)
    with av.open(str(tmp_path / "part.mp4")) as container:
        first = next(container.decode(video=0))
    with av.open(str(tmp_path / "part.mp4")) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert first.time == pytest.approx(picture, abs=0.04)
    assert np.argmax(abs(sound) > 0.05) / 48_000 == pytest.approx(tone, abs=0.05) and len(sound) / 48_000 > 0.95


def test_a_part_without_a_frame_of_its_own_shows_the_one_before(tmp_path):
    write_coded(tmp_path / "slides.webm", scenes_script(0.4), ticks_ms=[0, 4000, 9000])
    encode_part(tmp_path / "slides.webm", tmp_path / "part.mp4", "mp4", 5000.0, 7000.0, lambda done: None)
    truth = frames_at(tmp_path / "slides.webm", [5000.0]).pixels[0].astype(int)
    for shown in frames_at(tmp_path / "part.mp4", [0.0, 1990.0]).pixels:
        assert abs(shown - truth).mean() < 6
    assert probe(tmp_path / "part.mp4").duration_ms == pytest.approx(2000, abs=50)


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "h264.mkv", "h264_open_gop.mp4"])
def test_packets_are_copied_from_the_key_frame_on(zoo, tmp_path, name):
    path = zoo(name)
    target = tmp_path / f"part{path.suffix}"
    begin = copy_part(path, target, 700.0, 1200.0, lambda done: None)
    assert begin <= 700.0 and begin % 480 == 0  # a key frame every twelve
    first = round(begin / 40)
    codes = [read_code(one) for one in frames_at(target, [40.0 * row for row in range(30 - first)]).pixels]
    assert codes == list(range(first, 30))


def test_a_copy_that_is_cancelled_or_cannot_be_made_leaves_nothing(zoo, tmp_path):
    control = Control()
    control.stop()
    with pytest.raises(StoppedError):
        encode_part(zoo("h264.mp4"), tmp_path / "a.webm", "webm", 0.0, 1e9, lambda done: control.check())
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError):
        encode_part(zoo("h264.mp4"), tmp_path / "file" / "a.webm", "webm", 0.0, 1e9, lambda done: None)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    with pytest.raises(UnreadableVideoError):
        encode_part(tmp_path / "list.mp4", tmp_path / "b.webm", "webm", 0.0, 1e9, lambda done: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "list.mp4"]


def test_thumbnails_of_a_video_that_is_held_upright(tmp_path):
    made = Thumbnails(tmp_path / "thumbnails.npz", 1000.0)
    made.offer(0.0, np.zeros((320, 180, 3), np.uint8))  # as decoded; its headers say 320x180 and do not say how it is turned
    made.finish()
    kept = Thumbnails(tmp_path / "thumbnails.npz", 1000.0)
    assert [(one.width, one.height, one.complete) for one in (made, kept)] == 2 * [(51, 90, True)]
