"""Planned decoding equals plain decoding bit for bit, and saves what it promises."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from clipreel.extract.decode import pyav
from clipreel.extract.decode.plan import DECODE, DROP, IF_REFERENCE, DecodePlan, plan_decode, split_by_gop
from clipreel.extract.decode.pyav import PyavReader
from clipreel.extract.frames import PacketTable
from clipreel.tests.media import ZOO, Recipe, plain_decode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Zoo = Callable[[str], Path]
Plain = Callable[[str], list[np.ndarray]]
NO_SAR = [name for name, clip in ZOO.items() if not clip.damage and "pixels" not in name and not name.startswith("bt")]
_X265 = "log-level=none:pools=none:frame-threads=1:keyint=10:min-keyint=10:"

# Harder streams than the zoo's: many references, pyramids, weighted prediction, two ways of leading pictures.
HARD = {
    "references.mp4": Recipe(frames=60, gop=11, options={"x264-params":
        "open-gop=1:bframes=7:b-pyramid=normal:ref=4:weightp=2:scenecut=0:b-adapt=0"}),
    "strict.ts": Recipe(frames=60, gop=11, options={"x264-params":
        "open-gop=1:bframes=3:b-pyramid=strict:ref=2:scenecut=0:b-adapt=0"}),
    "closed.mkv": Recipe(frames=60, gop=7, options={"x264-params": "bframes=5:b-pyramid=normal:ref=4:b-adapt=0"}),
    "all_keys.mp4": Recipe(frames=30, gop=1),
    "refresh.ts": Recipe(frames=60, options={"x264-params": "intra-refresh=1:bframes=0"}),
    "interlaced_open.ts": Recipe(frames=48, options={"x264-params": "tff=1:open-gop=1"}),
    "radl.mp4": Recipe("libx265", {"x265-params": _X265 + "bframes=5:open-gop=0:radl=2"}, frames=45),
    "cra.ts": Recipe("libx265", {"x265-params": _X265 + "bframes=5:open-gop=1:b-pyramid=1"}, frames=45),
    "alt_refs.webm": Recipe("libvpx-vp9", {"cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"}, frames=48),
    "mpeg4.mkv": Recipe("mpeg4", {"bf": "2"}, frames=40),
    "mpeg1.ts": Recipe("mpeg1video", {"bf": "2"}, frames=40),
}


def read(path: Path, wanted: list[int]) -> dict[int, np.ndarray]:
    reader = PyavReader()
    return {int(batch.frames[0]): batch.pixels[0]
            for batch in reader.frames(reader.index(path), np.array(wanted, dtype=np.int64))}


def assert_equal_to(pictures: list[np.ndarray], path: Path, wanted: list[int]) -> None:
    found = read(path, wanted)
    assert sorted(found) == wanted
    for place in wanted:
        assert np.array_equal(found[place], pictures[place]), f"frame {place} of {wanted}"


def random_sets(count: int, name: str) -> list[list[int]]:
    random = np.random.default_rng([len(name), *name.encode()])
    sets = [random.choice(count, min(size, count), replace=False) for size in (1, 1, 2, 3, 5, 8)]
    return [list(range(count)), [count - 1], *(sorted(places.tolist()) for places in sets)]


@pytest.mark.parametrize("name", NO_SAR)
def test_wanted_frames_equal_a_plain_decode(name: str, zoo: Zoo, plain: Plain) -> None:
    for wanted in random_sets(ZOO[name].frames, name):
        assert_equal_to(plain(name), zoo(name), wanted)


@pytest.mark.parametrize("name", HARD)
def test_wanted_frames_of_hard_streams_equal_a_plain_decode(name: str, tmp_path: Path) -> None:
    HARD[name].write(tmp_path / name)
    pictures = [rgb for _, rgb in plain_decode(tmp_path / name)]
    assert len(pictures) == HARD[name].frames
    for wanted in random_sets(len(pictures), name):
        assert_equal_to(pictures, tmp_path / name, wanted)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["h264.mp4", "h264_open_gop.ts", "hevc_open_gop.mp4", "vp9.webm", "av1.mp4", "mpeg4.mp4",
                             "mpeg2.ts", "edit_list.mp4", "vp8_hidden.webm", "ntsc.mkv", "h264_intra_refresh.mp4"]),
       places=st.sets(st.integers(0, 30), min_size=1, max_size=12))
def test_any_wanted_set_equals_a_plain_decode(name: str, places: set[int], zoo: Zoo, plain: Plain) -> None:
    assert_equal_to(plain(name), zoo(name), sorted(places))


def test_frames_that_no_one_needs_are_not_decoded(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[DecodePlan | None] = []
    decode = pyav._decode

    def noted(index, plan, *rest):
        plans.append(plan)
        return decode(index, plan, *rest)

    monkeypatch.setattr(pyav, "_decode", noted)
    read(zoo("h264.mp4"), [26])  # GOPs of 12: two are jumped over
    (plan,) = plans
    assert plan is not None
    sent = np.flatnonzero(plan.actions)
    assert sent.min() == 24
    assert len(sent) <= 6
    plans.clear()
    read(zoo("h264_intra_refresh.mp4"), [30])
    assert plans[0] is not None
    assert plans[1:] == [None], "an entry that is none must be noticed and everything decoded"


# --- the plan alone, on packet tables made up


@st.composite
def tables(draw: st.DrawFn) -> PacketTable:
    """GOPs in decode order; open ones have leading pictures. Some packets show nothing."""
    pts: list[int] = []
    entry: list[bool] = []
    end = 0
    for number in range(draw(st.integers(1, 5))):
        leading = draw(st.integers(0, 3)) if number else 0
        key = end + leading
        trailing = draw(st.permutations(range(key + 1, key + 1 + draw(st.integers(0, 6)))))
        pts += [key, *draw(st.permutations(range(end, key))), *trailing]
        entry += [True] + [False] * (leading + len(trailing))
        end = key + 1 + len(trailing)
    hidden = draw(st.sets(st.integers(0, len(pts) - 1), max_size=2))
    times = np.array(pts, dtype=np.int64)
    shown = np.array([place not in hidden for place in range(len(pts))])
    shows = np.where(shown, np.searchsorted(np.unique(times[shown]), times), -1)
    return PacketTable(times, shows.astype(np.int64), np.array(entry))


@settings(max_examples=300, deadline=None)
@given(table=tables(), data=st.data())
def test_a_plan_sends_all_that_wanted_frames_need_and_stops_after_them(table: PacketTable, data: st.DataObject) -> None:
    frames = sorted(set(table.shows.tolist()) - {-1})
    wanted = data.draw(st.sets(st.sampled_from(frames))) if frames else set()
    plan = plan_decode(table, np.array(sorted(wanted), dtype=np.int64))
    starts = np.flatnonzero(table.entry)
    gop_of = np.searchsorted(starts, np.arange(len(table)), side="right") - 1
    is_wanted = np.isin(table.shows, list(wanted)) & (table.shows >= 0)
    assert (plan.actions[is_wanted] == DECODE).all()
    if not wanted:
        assert not plan.actions.any()
        assert plan.last == -1
    last_wanted = int(np.flatnonzero(is_wanted).max(initial=-1))
    assert plan.last == last_wanted, "something is decoded after the last wanted frame"
    for packet in np.flatnonzero(is_wanted).tolist():
        first = int(starts[gop_of[packet]])
        is_leading = table.pts[packet] < table.pts[first]
        if is_leading:  # also the GOP before, and no restart between
            assert not plan.restarts[first]
            first = int(starts[gop_of[packet] - 1])
        before = np.arange(first, packet)
        leading = table.pts[before] < table.pts[starts[gop_of[before]]]
        assert (plan.actions[before][~leading] != DROP).all(), "a reference is missing"
    for gop, start in enumerate(starts.tolist()):
        members = plan.actions[gop_of == gop]
        if not is_wanted[gop_of == gop].any() and (gop + 1 == len(starts) or plan.restarts[starts[gop + 1]]
                                                   or not plan.actions[starts[gop + 1]]):
            assert not members.any(), "a GOP that nobody needs is decoded"
        if gop and members.any() and not plan.actions[gop_of == gop - 1].any():
            assert plan.restarts[start], "a jump without a restart"
        if plan.restarts[start]:
            assert plan.actions[start] == DECODE, "a restart must show that it began well"
            assert table.shows[start] >= 0, "an entry that is not shown cannot show it"
    assert not plan.restarts[~table.entry].any()
    assert not plan.restarts[0]


@settings(max_examples=100, deadline=None)
@given(table=tables(), most=st.integers(1, 6), data=st.data())
def test_parts_share_no_gop_and_lose_no_frame(table: PacketTable, most: int, data: st.DataObject) -> None:
    frames = sorted(set(table.shows.tolist()) - {-1})
    wanted = np.array(sorted(data.draw(st.sets(st.sampled_from(frames)))) if frames else [], dtype=np.int64)
    parts = split_by_gop(table, wanted, most)
    assert 1 <= len(parts) <= most
    assert sorted(np.concatenate(parts).tolist()) == wanted.tolist()
    gop_of = dict(zip(table.shows.tolist(), np.cumsum(table.entry).tolist(), strict=True))
    gops = [{gop_of[place] for place in part.tolist()} for part in parts]
    assert sum(map(len, gops)) == len(set().union(*gops))
    assert [part.tolist() for part in split_by_gop(None, wanted, most)] == [wanted.tolist()]


def test_unneeded_leading_pictures_are_dropped_and_others_only_referred_to() -> None:
    table = PacketTable(np.array([0, 1, 4, 2, 3, 5, 6]), np.array([0, 1, 4, 2, 3, 5, 6]),
                        np.array([True, False, True, False, False, False, False]))
    plan = plan_decode(table, np.array([6]))
    assert plan.actions.tolist() == [DROP, DROP, DECODE, DROP, DROP, IF_REFERENCE, DECODE]
    assert plan.restarts.tolist() == [False, False, True, False, False, False, False]
    plan = plan_decode(table, np.array([3]))
    assert plan.actions.tolist() == [IF_REFERENCE, IF_REFERENCE, IF_REFERENCE, IF_REFERENCE, DECODE, DROP, DROP]
    assert not plan.restarts.any()
