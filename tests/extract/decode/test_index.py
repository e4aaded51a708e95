"""What an index says of a file, and that making one is cheap."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clipreel.errors import EmptyVideoError, IndexMismatchError
from clipreel.extract.decode import index as index_module
from clipreel.extract.decode.index import index_video
from clipreel.extract.decode.pyav import PyavReader
from clipreel.extract.frames import PacketTable, VideoIndex
from clipreel.tests.media import ZOO, Recipe, make_long_video, plain_decode, read_code

Zoo = Callable[[str], Path]
_X265 = "log-level=none:pools=none:frame-threads=1:keyint=12:min-keyint=12:bframes=3"


def from_second_key(source: Path, target: Path) -> Path:
    """Copy the packets from the second keyframe on, as cutting tools do."""
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = container.streams.video[0]
        copy, keys = output.add_stream_from_template(stream), 0
        for packet in container.demux(stream):
            keys += packet.is_keyframe and packet.size > 0
            if packet.size and keys > 1:
                packet.stream = copy
                output.mux(packet)
    return target


def codes(path: Path) -> list[int]:
    """The numbers in all frames that the index promises."""
    reader = PyavReader()
    index = reader.index(path)
    found = {int(batch.frames[0]): read_code(batch.pixels[0])
             for batch in reader.frames(index, np.arange(len(index), dtype=np.int64))}
    assert sorted(found) == list(range(len(index)))
    return [found[place] for place in sorted(found)]


@pytest.mark.parametrize("name", [name for name, clip in ZOO.items() if not clip.damage])
def test_rate_and_size(name: str, zoo: Zoo) -> None:
    index, clip = index_video(zoo(name)), ZOO[name]
    if clip.fps is not None:
        assert index.fps == clip.fps
    wide = {"wide_pixels.mp4": (192, 64), "pal_pixels.mkv": (140, 64)}
    assert (index.width, index.height) == wide.get(name, clip.size)
    assert index.duration_seconds == pytest.approx((index.end_pts - index.pts[0]) * float(index.time_base))


def test_a_rate_that_the_frames_deny_is_not_believed(zoo: Zoo) -> None:
    for name in ("irregular.mp4", "irregular.mkv"):  # the header of the .mkv says 25
        fps = index_video(zoo(name)).fps
        assert fps is not None
        assert float(fps) == pytest.approx(6 / 0.94, rel=0.01)


@pytest.mark.parametrize(("name", "seconds"), [
    ("h264.mp4", 1.44), ("h264.ts", 1.44), ("h264.avi", 1.44), ("vp9.webm", 1.44), ("one_frame.mp4", 0.04),
    ("edit_list.mp4", 1.24), ("late_video.mkv", 1.44), ("raw.h264", 1.44),
])
def test_duration_reaches_from_the_first_frame_to_the_end_of_the_last(name: str, seconds: float, zoo: Zoo) -> None:
    assert index_video(zoo(name)).duration_seconds == pytest.approx(seconds, abs=0.002)


def test_packets_are_trusted_only_where_they_have_true_times(zoo: Zoo) -> None:
    without = {name for name, clip in ZOO.items() if not clip.damage and index_video(zoo(name)).packets is None}
    assert without == {"h264.avi", "mpeg4.avi", "mjpeg.avi", "raw.h264"}


def test_indexing_decodes_no_more_than_the_first_picture(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(index_module.PictureMaker):
        def picture(self, frame: av.VideoFrame) -> np.ndarray:
            made.append(frame)
            return super().picture(frame)

    monkeypatch.setattr(index_module, "PictureMaker", Counted)
    index_video(zoo("h264_one_gop.mp4"))
    assert len(made) == 1


def test_two_hours_are_indexed_from_their_packets(tmp_path: Path) -> None:
    make_long_video(tmp_path / "long.mp4", seconds=7200)
    index = index_video(tmp_path / "long.mp4")
    assert len(index) == 180_000
    assert index.duration_seconds == 7200
    assert index.packets is not None


def test_a_cut_open_gop_begins_with_its_first_whole_picture(zoo: Zoo, tmp_path: Path) -> None:
    for name in ("h264_open_gop.mp4", "hevc_open_gop.mp4"):
        path = from_second_key(zoo(name), tmp_path / f"{name}.mkv")
        expected = [read_code(rgb) for _, rgb in plain_decode(path)]
        assert 0 < len(expected) < 36
        assert codes(path) == expected


def test_leading_pictures_that_do_decode_stay(tmp_path: Path) -> None:
    """HEVC's RADL pictures are shown before their entry and refer to nothing before it."""
    Recipe("libx265", {"x265-params": f"{_X265}:open-gop=0:radl=2"}).write(tmp_path / "whole.mp4")
    path = from_second_key(tmp_path / "whole.mp4", tmp_path / "part.mkv")
    assert codes(path) == list(range(10, 36))


def test_a_recording_that_begins_inside_a_gop(zoo: Zoo, tmp_path: Path) -> None:
    for name in ("mpeg2.ts", "h264.ts", "h264_open_gop.ts", "hevc_open_gop.ts", "raw.h264"):
        data = zoo(name).read_bytes()
        path = tmp_path / name
        for packets in (6, 12, 20):
            tables = data[: 188 * 3] if name.endswith(".ts") else b""
            path.write_bytes(tables + data[188 * packets:])
            decoded = [rgb for _, rgb in plain_decode(path)]
            assert 0 < len(decoded) < 36
            assert codes(path) == [read_code(rgb) for rgb in decoded]


@pytest.mark.parametrize(("name", "recipe"), [
    ("raw.m2v", Recipe("mpeg2video", {"bf": "2"})), ("raw.hevc", Recipe("libx265", {"x265-params": "log-level=none"})),
    ("raw.mjpeg", Recipe("mjpeg", pixels="yuvj420p")), ("raw.obu", Recipe("libsvtav1", {"preset": "12"})),
    ("clip.flv", Recipe()), ("clip.wmv", Recipe("wmv2")), ("clip.mpg", Recipe("mpeg1video", {"bf": "2"})),
    ("clip.mxf", Recipe("mpeg2video", {"bf": "2"})), ("clip.nut", Recipe()), ("clip.ivf", Recipe("libvpx")),
    ("clip.y4m", Recipe("wrapped_avframe")), ("clip.mov", Recipe("prores_ks", pixels="yuv422p10le")),
])
def test_other_containers_and_raw_streams_begin_at_zero(name: str, recipe: Recipe, tmp_path: Path) -> None:
    recipe.write(tmp_path / name)
    index = index_video(tmp_path / name)
    assert index.times_ms(index.pts) == pytest.approx([40 * number for number in range(36)], abs=0.02)
    assert codes(tmp_path / name) == list(range(36))


def test_packets_without_reordered_times_are_found_out(tmp_path: Path) -> None:
    """MXF keeps one time a picture, in the order of decoding."""
    Recipe().write(tmp_path / "clip.mxf")
    with pytest.raises(IndexMismatchError, match="against the order of their times"):
        codes(tmp_path / "clip.mxf")
    index = index_video(tmp_path / "clip.mxf", by_decoding=True)
    assert index.times_ms(index.pts).tolist() == [40 * number for number in range(36)]


def test_joined_transport_streams_lose_no_frame(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    path.write_bytes(zoo("mpeg2.ts").read_bytes() * 2)  # the clock starts again in the middle
    index = index_video(path, by_decoding=True)
    decoded = [read_code(rgb) for _, rgb in plain_decode(path)]
    assert len(index) == len(decoded)
    assert index.times_ms(index.pts)[0] == 0


def test_a_few_equal_times_do_not_cost_the_others_theirs(tmp_path: Path) -> None:
    """Captures write two frames in one tick. All frames stay, and the times of a variable rate with them."""
    path, times = tmp_path / "capture.mkv", [4 * number * number for number in range(36)]
    times[12] = times[11]
    Recipe("ffv1").write(tmp_path / "even.mkv")
    with av.open(str(tmp_path / "even.mkv")) as container, av.open(str(path), "w") as output:
        stream = container.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for packet, time in zip((packet for packet in container.demux(stream) if packet.size), times, strict=True):
            packet.pts = packet.dts = time
            packet.time_base, packet.stream = Fraction(1, 1000), copy
            output.mux(packet)
    index = index_video(path, by_decoding=True)
    times[12] += 1
    assert index.times_ms(index.pts).tolist() == times


def test_an_edit_list_that_starts_inside_hides_frames_not_references(zoo: Zoo) -> None:
    index = index_video(zoo("edit_list.mp4"))
    assert index.packets is not None
    assert len(index.packets) == 36
    assert (index.packets.shows < 0).sum() == 5
    assert codes(zoo("edit_list.mp4")) == list(range(5, 36))


def test_a_video_of_which_nothing_decodes_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    Recipe().write(path)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    size = int.from_bytes(data[start - 8:start - 4], "big") - 8
    path.write_bytes(data[:start] + bytes(size) + data[start + size:])
    with pytest.raises(EmptyVideoError, match="not one frame of it decodes"):
        index_video(path)


def test_an_index_checks_itself() -> None:
    with pytest.raises(ValueError, match="do not increase"):
        VideoIndex(Path("x"), 1, 1, Fraction(1, 25), Fraction(0), None, np.array([0, 2, 2]), 3, None)
    with pytest.raises(ValueError, match="do not increase"):
        VideoIndex(Path("x"), 1, 1, Fraction(1, 25), Fraction(0), None, np.array([0, 1, 2]), 2, None)
    with pytest.raises(ValueError, match="columns differ in length: 2, 1, 2"):
        PacketTable(np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(2, bool))


def test_times_are_correctly_rounded() -> None:
    base, start = Fraction(1, 30000), Fraction(133_499, 90_000)
    pts = np.array([44500, 45501, 10**15], dtype=np.int64)
    index = VideoIndex(Path("x"), 1, 1, base, start, None, pts, 10**15 + 1, None)
    assert index.times_ms(pts).tolist() == [float(1000 * (int(tick) * base - start)) for tick in pts]
