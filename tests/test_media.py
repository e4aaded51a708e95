"""The clips of the zoo are what they claim, by a plain decode: the judge is judged first."""

import os
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from clipreel.tests.media import MATRICES, PATCHES, ZOO, make_clip, make_long_video, picture, plain_decode, read_code

# Kr, Kb of the standards
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
# Matroska stores whole milliseconds, the container's start is known to a microsecond.
TOLERANCE_MS = {".mkv": 0.51, ".webm": 0.51}


def names(*damage: str) -> list[str]:
    """The clips with one of these kinds of damage."""
    return [name for name, clip in ZOO.items() if clip.damage in damage]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clips of this module are made, each once."""
    return tmp_path_factory.mktemp("zoo")


def test_making_clips_leaves_the_priority_of_this_thread_alone(tmp_path: Path) -> None:
    """SVT-AV1 makes the thread that calls it a real-time one, where it may."""
    make_clip("av1.mp4", tmp_path)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.parametrize("name", names(""))
def test_clip_has_the_claimed_frames_times_size_and_numbers(name: str, folder: Path) -> None:
    clip = ZOO[name]
    decoded = plain_decode(make_clip(name, folder), upright=True)
    assert len(decoded) == clip.frames
    assert decoded[0][1].shape[1::-1] == clip.size
    times = [time for time, _ in decoded]
    if clip.times_ms is None:
        assert times == [None] * clip.frames
    else:
        assert times == pytest.approx(clip.times_ms, abs=TOLERANCE_MS.get(Path(name).suffix, 0.02))
    if clip.codes:
        assert tuple(read_code(rgb) for _, rgb in decoded) == clip.codes


@pytest.mark.parametrize("name", names("refused"))
def test_refused_clip_gives_no_video(name: str, folder: Path) -> None:
    with pytest.raises((av.error.FFmpegError, StopIteration)):
        plain_decode(make_clip(name, folder))


@pytest.mark.parametrize("name", names("cut"))
def test_cut_clip_begins_well_and_lacks_its_end(name: str, folder: Path) -> None:
    decoded = plain_decode(make_clip(name, folder))
    assert 12 <= len(decoded) < ZOO[name].frames
    assert [read_code(rgb) for _, rgb in decoded[:12]] == list(range(12))


@pytest.mark.parametrize("name", names("hole"))
def test_burnt_clip_is_wrong_inside_and_right_at_its_end(name: str, folder: Path) -> None:
    decoded = plain_decode(make_clip(name, folder))
    assert [read_code(rgb) for _, rgb in decoded[-12:]] == list(range(24, 36))
    expected = [picture(number, 96, 64) for number in range(36)]
    wrong = [rgb for _, rgb in decoded if min(np.abs(rgb - other.astype(float)).mean() for other in expected) > 20]
    assert wrong or len(decoded) < 36


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_patches_are_stored_by_the_formula_of_the_standard(matrix: str, full: bool, deep: bool, folder: Path) -> None:
    path = make_clip(f"{matrix}{'_full' * full}{'_10_bit' * deep}.mp4", folder)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range) == (MATRICES[matrix][0], 1 + full)
    planes = frame.to_ndarray()  # [height * 3 / 2, width]: luma, then both chroma planes in rows of half the width
    luma, chroma = planes[:64], planes[64:].reshape(2, 32, 48)
    kr, kb = WEIGHTS[matrix]
    one = (1023 if full else 4 * 219) if deep else (255 if full else 219)
    chroma_one = (1023 if full else 4 * 224) if deep else (255 if full else 224)
    black, grey = (0 if full else 64, 512) if deep else (0 if full else 16, 128)
    for number, colour in enumerate(PATCHES):
        red, green, blue = np.array(colour) / 255
        y = kr * red + (1 - kr - kb) * green + kb * blue
        stored = luma[40, 16 * number + 8], chroma[0, 20, 8 * number + 4], chroma[1, 20, 8 * number + 4]
        formula = (
            black + one * y,
            grey + chroma_one * (blue - y) / (2 - 2 * kb),
            grey + chroma_one * (red - y) / (2 - 2 * kr),
        )
        assert np.array(stored, float) == pytest.approx(formula, abs=8 if deep else 2.5)


@pytest.mark.parametrize("name", [name for name in names("") if name.startswith("bt")])
def test_patches_come_back_as_the_colours_they_were(name: str, folder: Path) -> None:
    rgb = plain_decode(make_clip(name, folder))[2][1]
    assert np.abs(rgb[40, 8::16].astype(int) - PATCHES).max() <= 4


def test_code_survives_scaling_and_nothing_else_passes_for_one() -> None:
    upright = picture(397, 96, 64)
    assert read_code(upright) == 397
    assert read_code(upright.repeat(2, axis=1)) == 397
    assert read_code(upright[::2, ::2]) == 397
    for wrong in (np.rot90(upright), np.rot90(upright, 2), upright[:, ::-1], np.zeros_like(upright)):
        with pytest.raises(ValueError, match="no frame code"):
            read_code(wrong)


def test_special_clips_have_what_they_are_named_for(folder: Path) -> None:
    def packets(name: str) -> list[tuple[int | None, bool, bool]]:
        with av.open(str(make_clip(name, folder))) as container:
            stream = container.streams.video[0]
            return [(each.pts, each.is_keyframe, each.is_discard) for each in container.demux(stream) if each.size]

    assert len(packets("vp8_hidden.webm")) == ZOO["vp8_hidden.webm"].frames + 2
    assert sum(discarded for _, _, discarded in packets("edit_list.mp4")) == 5
    assert {pts for pts, _, _ in packets("raw.h264")} == {None}
    for name in ("h264_open_gop.mp4", "h264_open_gop.ts", "hevc_open_gop.mp4", "hevc_open_gop.ts", "mpeg2.ts"):
        found = packets(name)
        keys = [place for place, (_, is_keyframe, _) in enumerate(found) if is_keyframe]
        leading = [key for key in keys if any((pts or 0) < (found[key][0] or 0) for pts, _, _ in found[key:])]
        assert leading, f"{name} has no open GOP"
    with av.open(str(make_clip("h264.ts", folder))) as container:
        assert container.start_time == pytest.approx(1_480_000, abs=1)
    for name in ("negative_start.mkv", "negative_start.ts"):
        with av.open(str(make_clip(name, folder))) as container:
            assert container.start_time == -200_000
    with av.open(str(make_clip("wide_pixels.mp4", folder))) as container:
        assert container.streams.video[0].codec_context.sample_aspect_ratio == 2
    with av.open(str(make_clip("pal_pixels.mkv", folder))) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)
    with av.open(str(make_clip("h264_interlaced.ts", folder))) as container:
        assert next(container.decode(video=0)).interlaced_frame
    with av.open(str(make_clip("two_videos.mp4", folder))) as container:
        assert read_code(next(container.decode(video=1)).to_ndarray(format="rgb24")) == 256
    with av.open(str(make_clip("subtitle.mkv", folder))) as container:
        assert [stream.type for stream in container.streams] == ["video", "subtitle"]
    with av.open(str(make_clip("cover.mp4", folder))) as container:
        assert len(container.streams.video) == 2
    sizes = [rgb.shape for _, rgb in plain_decode(make_clip("two_sizes.ts", folder))]
    assert sizes == [(64, 96, 3)] * 18 + [(96, 128, 3)] * 18


def test_long_video_has_the_promised_length(tmp_path: Path) -> None:
    make_long_video(tmp_path / "long.mp4", seconds=7200)
    with av.open(str(tmp_path / "long.mp4")) as container:
        assert container.streams.video[0].frames == 180_000
        assert container.duration == 7_200_000_000
        times = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert len(set(times)) == 180_000


def test_making_a_clip_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("h264.mp4", "hevc.mp4", "vp9.webm", "av1.mp4", "mpeg4.avi", "late_video.mp4"):
        first, second = tmp_path / name, tmp_path / f"again_{name}"
        ZOO[name].make(first)
        ZOO[name].make(second)
        assert first.read_bytes() == second.read_bytes(), name
