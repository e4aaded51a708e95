"""Encoding of scripts, and the sample videos that lie in the repository."""

from collections import Counter
from fractions import Fraction

import av
import pytest
from av.video.frame import PictureType
from clipreel.sample import make
from clipreel.sample.make import PATH_LIST_NAME, SAMPLE_FOLDER, SAMPLE_VIDEOS, path_list
from clipreel.sample.scene import Shape, VideoScript
from clipreel.sample.video import write_video

SHAPE = Shape("green", "ring", "large", "middle")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_every_frame_is_encoded_at_its_time(tmp_path, suffix, fps):
    script = VideoScript.of([(SHAPE, 1.0, "rising")], width=128, height=96, fps=fps)
    path = tmp_path / f"ring{suffix}"
    write_video(script, path, tone_hertz=440.0)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == {".mp4": "h264", ".webm": "vp9"}[suffix]
        assert stream.average_rate is not None
        assert float(stream.average_rate) == pytest.approx(float(fps), rel=1e-3)  # WebM counts in milliseconds
        times_seconds = [frame.time for frame in container.decode(stream)]
        assert len(container.streams.audio) == 1
    assert len(times_seconds) == script.frame_count
    assert times_seconds == pytest.approx([float(number / fps) for number in range(len(times_seconds))], abs=0.0011)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_encoding_gives_the_same_bytes_again(tmp_path, suffix):
    script = VideoScript.of([(SHAPE, 0.5, "still"), (None, 0.5, "still")], width=128, height=96)
    for name in ("one", "two"):
        write_video(script, tmp_path / f"{name}{suffix}", tone_hertz=330.0)
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.mp4, \.webm"):
        write_video(VideoScript.of([(SHAPE, 1.0, "still")]), tmp_path / "ring.avi")


@pytest.mark.parametrize("sample", SAMPLE_VIDEOS, ids=lambda sample: sample.name)
def test_the_repository_holds_the_sample_videos(sample):
    path = SAMPLE_FOLDER / sample.name
    assert path.stat().st_size < 300_000
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == ("h264" if path.suffix == ".mp4" else "vp9")
        assert (stream.width, stream.height) == (sample.script.width, sample.script.height)
        assert stream.average_rate == sample.script.fps
        assert len(container.streams.audio) == (sample.tone_hertz is not None)
        kinds = Counter(frame.pict_type for frame in container.decode(stream))
    assert kinds.total() == sample.script.frame_count
    assert (kinds[PictureType.B] > 0) == (path.suffix == ".mp4")


def test_they_are_drawn_into_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "SAMPLE_VIDEOS", SAMPLE_VIDEOS[:1])
    (path,) = make.make_samples(tmp_path / "a" / "b")
    assert path.name == SAMPLE_VIDEOS[0].name and path.stat().st_size


def test_the_path_list_names_them():
    text = (SAMPLE_FOLDER / PATH_LIST_NAME).read_text(encoding="utf-8")
    assert text == path_list()
    paths = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert paths == [sample.name for sample in SAMPLE_VIDEOS]
