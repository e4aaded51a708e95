"""The index: what is found, what comes and goes."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
from clipreel.errors import ConfigError, MissingExtraError, StoreConflictError
from clipreel.models.base import EncoderIdentity
from clipreel.retrieval import index_update
from clipreel.retrieval.codes import binary_codes, equal_bits, int8_codes
from clipreel.retrieval.index import VectorIndex
from clipreel.retrieval.index_files import MANIFEST, IndexedVideo, IndexIdentity, Manifest, NewVideos, read_manifest
from clipreel.retrieval.index_update import Change, update_index
from clipreel.retrieval.scan import Best, ExactScan

DIM = 64
IDENTITY = IndexIdentity(EncoderIdentity("clip", "drawn", None, "0" * 64, "float32", "center", "tensor"), "all")
EMPTY = Manifest(IDENTITY, DIM, "float32", "exact", ("/features",))
DTYPES = ["float32", "float16", "int8", "binary"]


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def vectors_of(ids, version=0):
    """Each id's own direction."""
    return unit(np.stack([np.random.default_rng([int(name), version]).standard_normal(DIM) for name in ids]))


def some(ids, version=0):
    videos = [IndexedVideo(str(name), 0, f"{name}_meta.json", str(name), f"{version}" * 64, f"/videos/{name}.mp4") for name in ids]
    return NewVideos(videos, vectors_of(ids, version) if videos else np.empty((0, DIM), dtype=np.float32))


def found(index, queries, top):
    return [[index.video(int(row)).video_id for row in rows] for rows in index.search(queries, top).rows]


def clustered(count, seed=0):
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((20, DIM)))
    return unit(centres[rng.integers(0, 20, count)] + 0.5 * unit(rng.standard_normal((count, DIM))))


# scores


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("top", [1, 7, 3000])
def test_the_scan_gives_what_sorting_everything_gives(dtype, top):
    rng = np.random.default_rng(0)
    blocks = [unit(rng.standard_normal((rows, DIM))).astype(dtype) for rows in (2500, 1, 1100)]
    dead = [np.array([0, 5, 2499]), np.array([], dtype=np.int64), np.array([7])]
    queries = unit(rng.standard_normal((5, DIM)))
    scores = queries @ np.concatenate(blocks).astype(np.float32).T
    scores[:, [0, 5, 2499, 2501 + 7]] = -np.inf
    right = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    hits = ExactScan(blocks).search(queries, top, dead)
    assert np.allclose(hits.scores, np.take_along_axis(scores, right, axis=1), atol=1e-6)
    assert np.mean(hits.rows == right) > 0.999  # sums in another order may turn neighbours round


def test_of_equal_scores_the_earlier_row_comes_first_wherever_chunks_end():
    scores = np.random.default_rng(1).integers(0, 4, (3, 5000)).astype(np.float32)
    for step in (1, 7, 1000, 5000):
        best = Best(3, 40)
        for begin in range(0, 5000, step):
            best.offer(scores[:, begin:begin + step], np.arange(begin, min(begin + step, 5000)))
        assert np.array_equal(best.hits().rows, np.argsort(-scores, axis=1, kind="stable")[:, :40])


def test_codes_say_about_what_vectors_say():
    vectors = clustered(200)
    codes, scales = int8_codes(vectors)
    assert codes.dtype == np.int8 and np.abs(codes * scales[:, None] - vectors).max() < 1 / 127
    bits = binary_codes(np.pad(vectors, ((0, 0), (0, 7))))  # 71 numbers: the last byte and the last word are not full
    assert bits.shape == (200, 16)
    differing = ((vectors[0] > 0) != (vectors > 0)).sum(axis=1)
    assert np.array_equal(-equal_bits(bits[0], bits), differing)


def test_bits_are_counted_without_numpy_2_too(monkeypatch):
    bits = binary_codes(clustered(50))
    with_numpy_2 = equal_bits(bits[3], bits)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert np.array_equal(equal_bits(bits[3], bits), with_numpy_2)


@pytest.mark.parametrize(("structure", "dtype"), list(itertools.product(["exact", "ivf", "hnsw"], DTYPES)))
def test_neighbours_are_found(tmp_path, dtype, structure):
    vectors = clustered(3000)
    new = NewVideos([IndexedVideo(str(number), 0, "f", str(number), "", "") for number in range(3000)], vectors)
    update_index(tmp_path / "i", replace(EMPTY, dtype=dtype, structure=structure), new)
    index = VectorIndex.open(tmp_path / "i")
    queries = unit(vectors[:50] + 0.3 * clustered(50, 9))
    right = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    hits = index.search(queries, 10)
    recall = np.mean([len(np.intersect1d(mine, best)) / 10 for mine, best in zip(hits.rows, right, strict=True)])
    assert recall == 1 if (structure, dtype) == ("exact", "float32") else recall > 0.97
    assert np.allclose(hits.scores, np.take_along_axis(queries @ vectors.T, hits.rows, axis=1), atol=2e-3)
    if structure != "exact":
        assert index.manifest.approximate is not None
        assert index.manifest.approximate.kind == structure
        assert index.manifest.approximate.recall > 0.95


def test_a_million_is_where_faiss_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(index_update, "EXACT_VIDEOS", 100)
    auto = replace(EMPTY, structure="auto")
    update_index(tmp_path / "i", auto, some(range(100)))
    assert read_manifest(tmp_path / "i").approximate is None
    update_index(tmp_path / "i", auto, some(range(100, 101)))
    approximate = read_manifest(tmp_path / "i").approximate
    assert approximate is not None and approximate.kind == "ivf"
    assert found(VectorIndex.open(tmp_path / "i"), vectors_of([100, 3]), 1) == [["100"], ["3"]]


def test_without_faiss_it_is_said_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"clipreel\[retrieval\]"):
        update_index(tmp_path / "i", replace(EMPTY, structure="hnsw"), some(range(20)))


# coming and going


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", ["exact", "ivf"])
def test_a_long_life_ends_as_a_new_index(tmp_path, dtype, structure, monkeypatch):
    monkeypatch.setattr(index_update, "_LEAST_UNCOVERED", 30)
    empty, rng, there = replace(EMPTY, dtype=dtype, structure=structure), np.random.default_rng(4), {}
    folder = tmp_path / "long"
    for step in range(20):
        new = rng.choice(400, int(rng.integers(0, 40)), replace=False)
        gone = {str(number) for number in rng.choice(400, int(rng.integers(0, 25)))} - {str(number) for number in new}
        change = update_index(folder, empty, some(new, step), gone)
        known = {str(number) for number in new} & there.keys()
        assert change == Change(len(new) - len(known), len(known), len(gone & there.keys()), change.videos)
        for name in gone:
            there.pop(name, None)
        there |= {str(number): step for number in new}
        assert change.videos == len(there)
    index = VectorIndex.open(folder)
    assert {video.video_id: int(video.sha256[:1] or 0) for video in index.videos()} == {
        name: int(str(step)[0]) for name, step in there.items()}
    assert len(index.segments) < 12
    ids = list(there)
    queries = np.concatenate([vectors_of([int(name)], there[name]) for name in ids])
    assert [row[0] for row in found(index, queries, 1)] == ids  # each is found as its last version
    assert {name for row in found(index, queries[:5], len(index)) for name in row} == set(ids)  # nothing dead comes back
    assert {path.name for path in folder.iterdir()} == index.manifest.files()


def test_what_stays_is_not_written_again(tmp_path):
    update_index(tmp_path, EMPTY, some(range(500)))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.name != MANIFEST}
    update_index(tmp_path, EMPTY, some(range(500, 510)))
    update_index(tmp_path, EMPTY, some(range(5), 1), ["499"])
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert before.items() <= after.items()
    assert found(VectorIndex.open(tmp_path), vectors_of([3], 1), 1) == [["3"]]


def test_faiss_takes_more_rows_without_being_made_anew(tmp_path, monkeypatch):
    from clipreel.retrieval.approximate import Cells

    monkeypatch.setattr(index_update, "_LEAST_UNCOVERED", 30)
    built = []
    build = Cells.build
    monkeypatch.setattr(Cells, "build", lambda *words: built.append(words[0]) or build(*words))
    empty = replace(EMPTY, structure="ivf")
    update_index(tmp_path, empty, some(range(300)))
    update_index(tmp_path, empty, some(range(300, 320)))
    first = read_manifest(tmp_path).approximate
    assert first is not None and (first.rows, first.segments) == (300, 1)
    update_index(tmp_path, empty, some(range(320, 340)))
    second = read_manifest(tmp_path).approximate
    assert second is not None and second.rows == 340
    assert len(built) == 1
    assert [row[0] for row in found(VectorIndex.open(tmp_path), vectors_of(range(340)), 1)] == [str(n) for n in range(340)]
    update_index(tmp_path, empty, some([]), [str(number) for number in range(150)])
    assert len(built) == 2  # too much of it was dead
    assert found(VectorIndex.open(tmp_path), vectors_of([200]), 1) == [["200"]]


def test_everything_may_go_and_come_again(tmp_path):
    update_index(tmp_path, EMPTY, some(range(5)))
    assert update_index(tmp_path, EMPTY, some([]), map(str, range(5))) == Change(0, 0, 5, 0)
    with pytest.raises(ConfigError, match="holds no video"):
        VectorIndex.open(tmp_path).search(vectors_of([1]), 1)
    update_index(tmp_path, EMPTY, some([2]))
    assert found(VectorIndex.open(tmp_path), vectors_of([2]), 1) == [["2"]]


@pytest.mark.parametrize(("empty", "word"), [
    (replace(EMPTY, dtype="int8"), "dtype: float32 there, int8 now"),
    (replace(EMPTY, identity=replace(IDENTITY, selection="uniform", k=4)), "selection: all there, uniform now"),
    (replace(EMPTY, identity=replace(IDENTITY, checkpoint="f" * 64)), "checkpoint: None there, fff"),
    (replace(EMPTY, identity=replace(IDENTITY, encoder=replace(IDENTITY.encoder, weights_sha256="1" * 64))), "weights_sha256: 000"),
])
def test_vectors_of_other_settings_are_refused(tmp_path, empty, word):
    update_index(tmp_path, EMPTY, some(range(3)))
    with pytest.raises(StoreConflictError, match=word):
        update_index(tmp_path, empty, some(range(3, 5)))
    assert len(VectorIndex.open(tmp_path)) == 3
    update_index(tmp_path, empty, some(range(3, 5)), overwrite=True)
    assert len(VectorIndex.open(tmp_path)) == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_left_alone(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(ConfigError, match="something else"):
        update_index(tmp_path, EMPTY, some(range(3)), overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


# questions that cannot be


@pytest.mark.parametrize(("queries", "top", "word"), [
    (np.ones((1, DIM)), 4, "top=4: allowed is 1 to 3"), (np.ones((1, DIM)), 0, "top=0"), (np.ones((1, 3)), 1, r"\[1, 3\]"),
    (np.zeros((1, DIM)), 1, "zero or not finite"), (np.full((1, DIM), np.nan), 1, "zero or not finite"), (np.ones(DIM), 1, "shape"),
])
def test_questions_that_cannot_be(tmp_path, queries, top, word):
    update_index(tmp_path, EMPTY, some(range(3)))
    with pytest.raises(ConfigError, match=word):
        VectorIndex.open(tmp_path).search(queries, top)
