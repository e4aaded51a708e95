"""The contract of readers, over every reader of the registry and every clip of the zoo."""

import gc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from clipreel.errors import ConfigError, DamagedVideoError, IndexMismatchError, UnreadableVideoError, VideoError
from clipreel.extract.decode.base import FrameReader
from clipreel.extract.decode.nvdec import torchcodec_fault
from clipreel.extract.decode.registry import READERS, reader_for
from clipreel.extract.frames import FrameBatch, VideoIndex
from clipreel.tests.media import ZOO, picture, read_code
from PIL import Image

Zoo = Callable[[str], Path]

# Healthy clips that a reader refuses, in words that name another one. The default reader refuses none.
REFUSED = {
    "decord": {name for name in ZOO if name.endswith((".ts", ".gif", ".h264"))} | {
        "vp8_hidden.webm", "edit_list.mp4", "av1.mp4", "av1.webm", "negative_start.mkv", "turned_90.mkv",
        "turned_0_mirrored.mp4", "turned_90_mirrored.mp4", "one_pixel.mp4", "no_index.mkv", "two_videos.mp4",
    },
    "torchcodec": {name for name in ZOO if name.endswith((".ts", ".avi", ".h264"))} | {
        "turned_0_mirrored.mp4", "turned_90_mirrored.mp4", "no_index.mkv", "negative_start.mkv", "h264_intra_refresh.mp4",
    },
}
VIDEO_READERS = [pytest.param(name, marks=pytest.mark.skipif(name == "torchcodec" and torchcodec_fault() is not None,
                                                             reason=str(torchcodec_fault())))
                 for name in READERS if name != "images"]
HEALTHY = [name for name, clip in ZOO.items() if not clip.damage and not name.startswith("bt")]
CUT_KNOWABLY = [name for name, clip in ZOO.items() if clip.damage == "cut" and not name.endswith(".ts")]



def read(reader: FrameReader, index: VideoIndex, wanted: list[int], **options: bool) -> dict[int, np.ndarray]:
    """The pictures that come, by place; checks what holds for every batch."""
    pictures: dict[int, np.ndarray] = {}
    for batch in reader.frames(index, np.array(wanted, dtype=np.int64), **options):
        assert isinstance(batch, FrameBatch)
        assert batch.timestamps_ms.tolist() == index.times_ms(index.pts[batch.frames]).tolist()
        for place, pixels in zip(batch.frames.tolist(), batch.pixels, strict=True):
            assert place not in pictures, "a frame came twice"
            pictures[place] = pixels
    assert set(pictures) <= set(wanted)
    return pictures


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("backend", VIDEO_READERS)
def test_wanted_frames_come_with_their_times(backend: str, name: str, zoo: Zoo) -> None:
    reader, clip, path = READERS[backend](None), ZOO[name], zoo(name)
    if name in REFUSED.get(backend, ()):
        with pytest.raises(VideoError, match=r"use reader=pyav") as caught:
            read(reader, reader.index(path), list(range(min(2, clip.frames - 1), clip.frames, 5)))
        assert str(path) in str(caught.value)
        return
    index = reader.index(path)
    assert len(index) == clip.frames
    assert index.damage is None
    times = index.times_ms(index.pts)
    expected = clip.times_ms or [40 * number for number in range(clip.frames)]  # a raw stream begins at zero
    assert times == pytest.approx(expected, abs=0.51 if name.endswith((".mkv", ".webm")) else 0.02)
    for step, first in ((1, 0), (5, 2), (17, 1)) if backend == "pyav" else ((5, 2),):
        wanted = list(range(min(first, clip.frames - 1), clip.frames, step))
        pictures = read(reader, index, wanted)
        assert sorted(pictures) == wanted
        for place, pixels in pictures.items():
            assert pixels.dtype == np.uint8
            if name != "two_sizes.ts":
                assert pixels.shape == (index.height, index.width, 3)
            if clip.codes:
                assert read_code(pixels) == clip.codes[place]


@pytest.mark.parametrize("backend", VIDEO_READERS)
def test_no_wanted_frame_is_no_frame(backend: str, zoo: Zoo) -> None:
    reader = READERS[backend](None)
    for name in ("h264.mp4", "h264.avi"):
        assert read(reader, reader.index(zoo(name)), []) == {}


@pytest.mark.parametrize("backend", VIDEO_READERS)
@pytest.mark.parametrize("name", [name for name, clip in ZOO.items() if clip.damage == "refused"])
def test_what_is_no_video_is_refused_with_a_reason(backend: str, name: str, zoo: Zoo) -> None:
    with pytest.raises(UnreadableVideoError, match=r"empty|no video|sound only|cover|refused|cut off") as caught:
        READERS[backend](None).index(zoo(name))
    assert str(zoo(name)) in str(caught.value)


@pytest.mark.parametrize("backend", VIDEO_READERS)
@pytest.mark.parametrize("name", CUT_KNOWABLY)
def test_a_file_that_ends_early_is_damaged(backend: str, name: str, zoo: Zoo) -> None:
    reader = READERS[backend](None)
    index = reader.index(zoo(name))
    assert index.damage and "ends early" in index.damage and "bytes are missing" in index.damage
    with pytest.raises(DamagedVideoError, match=r"ends early.*allow_truncated=true"):
        read(reader, index, [0])


@pytest.mark.parametrize("name", [name for name, clip in ZOO.items() if clip.damage == "cut"])
def test_allow_truncated_keeps_what_decodes(name: str, zoo: Zoo) -> None:
    reader = READERS["pyav"](None)
    index = reader.index(zoo(name))
    pictures = read(reader, index, list(range(len(index))), allow_truncated=True)
    assert set(range(12)) <= set(pictures)
    for place, pixels in pictures.items():
        assert read_code(pixels) == round(index.times_ms(index.pts[[place]])[0] / 40)


@pytest.mark.parametrize("name", [name for name, clip in ZOO.items() if clip.damage == "hole"])
def test_a_hole_is_damage_where_it_is_needed_and_only_there(name: str, zoo: Zoo) -> None:
    reader = READERS["pyav"](None)
    index = reader.index(zoo(name))
    everything = list(range(len(index)))
    with pytest.raises(DamagedVideoError, match="allow_truncated=true"):
        read(reader, index, everything)
    kept = read(reader, index, everything, allow_truncated=True)
    assert [read_code(kept[place]) for place in everything[-12:]] == list(range(24, 36))
    assert name.endswith(".ts") or "breaks inside" in (reader.index(zoo(name), by_decoding=True).damage or "")
    behind = everything[-6:]
    assert [read_code(pixels) for pixels in read(reader, index, behind).values()] == list(range(30, 36))


FUZZED = ("h264.mp4", "h264.mkv", "h264.ts", "h264.avi", "raw.h264", "hevc.mp4", "vp9.webm", "av1.mp4", "mpeg2.ts",
          "edit_list.mp4", "fragmented.mp4", "palette.gif")


@pytest.mark.parametrize("name", FUZZED)
def test_any_damage_is_an_error_of_this_video_or_none(name: str, zoo: Zoo, tmp_path: Path) -> None:
    random, whole, path = np.random.default_rng(3), zoo(name).read_bytes(), tmp_path / name
    reader = READERS["pyav"](None)
    for seed in range(20):
        data = np.frombuffer(whole, np.uint8).copy()
        places = random.integers(0, len(data) if seed % 2 else 600, (1, 5, 50)[seed % 3])
        data[places] = random.integers(0, 256, len(places))
        at = int(random.integers(0, len(data)))
        hole = int(random.integers(1, 2000)) if seed % 4 == 3 else 0
        path.write_bytes(data[:at].tobytes() + data[at + hole:].tobytes())
        for allow_truncated in (False, True):
            with suppress(VideoError):
                index = reader.index(path)
                read(reader, index, list(range(0, len(index), 5)), allow_truncated=allow_truncated)


def test_packets_that_promise_too_much_are_found_out(zoo: Zoo) -> None:
    reader = READERS["pyav"](None)
    index = reader.index(zoo("h264.mp4"))
    lying = VideoIndex(index.path, index.width, index.height, index.time_base, index.start_seconds, index.fps,
                       np.append(index.pts[:-1], index.pts[-1] + 7), index.end_pts + 7, index.packets)
    with pytest.raises(IndexMismatchError, match="1 of 36 wanted frames never came out"):
        read(reader, lying, list(range(36)))


@pytest.mark.parametrize("backend", VIDEO_READERS)
def test_an_index_made_by_decoding_agrees_with_one_made_from_packets(backend: str, zoo: Zoo) -> None:
    reader = READERS[backend](None)
    for name in ("h264_open_gop.mp4", "late_video.mkv", "irregular.mp4"):
        index, decoded = reader.index(zoo(name)), reader.index(zoo(name), by_decoding=True)
        assert decoded.packets is None
        assert decoded.times_ms(decoded.pts).tolist() == index.times_ms(index.pts).tolist()
        assert [read_code(pixels) for pixels in read(reader, decoded, [1, 4]).values()] == [1, 4]


def test_a_frame_is_freed_with_its_picture_not_when_garbage_is_collected(zoo: Zoo) -> None:
    """Frames are many times the memory of what is kept of them, and Python's collector counts objects, not bytes."""
    reader = reader_for(zoo("turned_90.mp4"), "pyav")
    index = reader.index(zoo("turned_90.mp4"))
    gc.collect()
    gc.disable()
    try:
        assert len(read(reader, index, [0, 1, 2])) == 3
        assert [one for one in gc.get_objects() if type(one) is av.VideoFrame] == []
    finally:
        gc.enable()


def test_the_images_reader_keeps_the_contract(tmp_path: Path) -> None:
    for number in range(12):
        Image.fromarray(picture(number, 96, 64)).save(tmp_path / f"{number}.png")
    reader = reader_for(tmp_path, "auto", 8)
    index = reader.index(tmp_path)
    assert index.times_ms(index.pts).tolist() == [125 * number for number in range(12)]
    pictures = read(reader, index, [0, 2, 10, 11])
    assert [read_code(pixels) for pixels in pictures.values()] == [0, 2, 10, 11]
    assert read(reader, index, []) == {}


def test_a_reader_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reader=opencv: allowed are auto, pyav, decord, images, torchcodec"):
        reader_for(tmp_path, "opencv")


def test_auto_takes_pyav_for_files_and_images_for_folders(zoo: Zoo, tmp_path: Path) -> None:
    assert type(reader_for(zoo("h264.mp4"), "auto")) is type(READERS["pyav"](None))
    assert type(reader_for(tmp_path, "auto", 1)) is type(READERS["images"](1))
