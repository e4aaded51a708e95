"""Nothing is ever overwritten by another video: not in one run, not over several, in whatever order they are named."""

import itertools

import pytest
from clipreel.errors import StoreConflictError
from clipreel.extract.keys import assign_keys
from clipreel.extract.videos import VideoItem
from hypothesis import given
from hypothesis import strategies as st

A, B, C = ("a" * 32, "b" * 32, "c" * 32)


def assign(videos, stored=None):
    """[(name, content id)] -> [(key, content id)] of the jobs."""
    items = [(number, VideoItem(f"{number}/{name}.mp4", name), content) for number, (name, content) in enumerate(videos)]
    return [(job.key, job.content_id) for job in assign_keys(items, (stored or {}).get)]


def test_the_first_has_the_name_the_next_adds_its_content():
    assert assign([("x", A), ("y", B), ("x", B), ("x", C)]) == [("x", A), ("y", B), (f"x-{B[:8]}", B), (f"x-{C[:8]}", C)]


def test_one_video_under_two_paths_is_done_once(caplog):
    caplog.set_level("INFO", "clipreel")
    assert assign([("x", A), ("x", A), ("y", A)]) == [("x", A), ("y", A)]
    assert assign([("x", A), ("x", B), ("x", B)]) == [("x", A), (f"x-{B[:8]}", B)]
    assert "1/x.mp4 is the same video" in caplog.text


@pytest.mark.parametrize("order", list(itertools.permutations([("x", A), ("x", B), ("x", C)])))
def test_later_runs_find_their_own_in_any_order(order):
    stored = dict(assign([("x", A), ("x", B), ("x", C)]))
    assert set(assign(order, stored)) == set(stored.items())
    for video in order:
        assert set(assign([video], stored)) <= set(stored.items())


def test_what_is_stored_under_the_longer_key_stays_there():
    """The owner of the short one failed or was removed since; the other is not made again under it."""
    assert assign([("x", B)], {f"x-{B[:8]}": B}) == [(f"x-{B[:8]}", B)]
    assert assign([("x", A), ("x", B)], {f"x-{B[:8]}": B}) == [("x", A), (f"x-{B[:8]}", B)]


def test_eight_digits_may_be_another_s():
    other = B[:8] + "0" * 24
    assert assign([("x", A), ("x", B), ("x", other)]) == [("x", A), (f"x-{B[:8]}", B), (f"x-{other}", other)]
    with pytest.raises(StoreConflictError, match="other videos own"):
        assign([("x", A)], {"x": B, f"x-{A[:8]}": B, f"x-{A}": B})


@pytest.mark.parametrize("name", ["n" * 250, "录" * 84, "é" * 125, "\udcff" * 200])
def test_long_names_are_cut_and_stay_apart(name):
    (key, _), (other, _) = assign([(name, A), (name + "z", B)])
    assert key != other
    assert key.endswith(A[:8])
    for one in (key, f"{key}-{A}"):
        assert len(f"{one}_timestamps_ms.npy".encode(errors="surrogateescape")) <= 255


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_that_are_no_file_names(name):
    assert assign([(name, A)]) == [("video", A)]


@given(st.lists(st.tuples(st.sampled_from(["x", f"x-{A[:8]}", f"x-{B[:8]}", "y"]), st.sampled_from([A, B, C]))),
       st.integers(0, 20))
def test_no_key_ever_changes_hands(videos, cut):
    stored = dict(assign(videos[:cut]))
    for key, content in assign(videos, stored):
        assert stored.setdefault(key, content) == content
    assert {content for _, content in videos} == set(stored.values())
    before = dict(stored)
    assert all(before.get(key) == content for key, content in assign(videos[::-1], stored))
