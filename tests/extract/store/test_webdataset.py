"""Tars of features: read by the package `webdataset`, by tar, and by nobody where they lie."""

import gc
import io
import tarfile

import numpy as np
import pytest
from clipreel.errors import StoredDataError
from clipreel.extract.store.find import find_stored
from clipreel.extract.store.sharded import ShardedStore
from clipreel.tests.extract.store.test_sharded import KEYS, again


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_webdataset_package_reads_it(tmp_path, make_features):
    webdataset = pytest.importorskip("webdataset")
    store = ShardedStore(tmp_path, "save_webdataset", 6)
    videos = {key: make_features(rows=number + 1, seed=number, metadata={"label": str(number)}) for number, key in enumerate(KEYS)}
    keys = list(videos)
    store.write_many({key: videos[key] for key in keys[:6]})
    store.write_many({key: videos[key] for key in keys[6:]})
    dataset = webdataset.WebDataset(f"{tmp_path}/videos-{{00000..00001}}.tar", shardshuffle=False).decode()
    samples = list(dataset)
    assert len(samples) == len(KEYS)
    assert len({sample["__key__"] for sample in samples}) == len(KEYS)
    for key, sample in zip(keys, samples, strict=True):
        assert sample["json"]["key"] == key
        assert sample["json"]["metadata"] == {"label": str(keys.index(key))}
        assert np.array_equal(sample["features.npy"], videos[key].features)
        assert np.array_equal(sample["timestamps_ms.npy"], videos[key].timestamps_ms)
        assert sample["fps.npy"] == 25.0
    batches = webdataset.WebDataset(f"{tmp_path}/videos-00000.tar", shardshuffle=False).decode().to_tuple("features.npy", "json")
    assert [len(features) for features, _ in batches] == [1, 2, 3, 4, 5, 6]
    del dataset, batches
    gc.collect()  # the package leaves its files to it


def test_tar_reads_the_tars(tmp_path, make_features):
    store = ShardedStore(tmp_path, "save_webdataset", 2)
    path = store.folder / store.write_many({"a": make_features(rows=2000, dim=50), "b": make_features()})
    with tarfile.open(path) as tar:
        names = tar.getnames()
        member = tar.extractfile("a.features.npy")
        assert member is not None
        assert np.load(io.BytesIO(member.read())).shape == (2000, 50)
    assert names == ["__clipreel__", *(f"{key}.{kind}" for key in "ab" for kind in (
        "features.npy", "timestamps_ms.npy", "fps.npy", "json")), "__index__"]


@pytest.mark.parametrize("change", [
    lambda head: head.replace(b'"index_offset": ', b'"index_offset": 9'),
    lambda head: head.replace(b'"index_bytes": ', b'"index_bytes": -'),
    lambda head: head.replace(b"clipreel-webdataset", b"clipreel-webdatasex"), lambda head: b"[]".ljust(512),
    lambda head: b"{}".ljust(512), lambda head: b"[" * 512, lambda head: b"\xff" * 512])
def test_a_tar_that_lies(tmp_path, make_features, change):
    store = ShardedStore(tmp_path, "save_webdataset", 10)
    path = store.folder / store.write_many({"a": make_features()})
    content = path.read_bytes()
    path.write_bytes(content[:512] + change(content[512:1024])[:512] + content[1024:])
    with pytest.raises(StoredDataError, match="no whole tar"):
        again(store)


def test_an_index_that_lies(tmp_path, make_features):
    store = ShardedStore(tmp_path, "save_webdataset", 10)
    path = store.folder / store.write_many({"a": make_features()})
    content = path.read_bytes()
    index = content.rindex(b'"places": ')
    for old, new in [(b'"fps": [', b'"fps": {'), (b'"fps": [', b'"fpx": ['),
                     (b'"clip": [', b'"clip": -'), (b'"clip": [1', b'"clip": [9')]:
        at = content.index(old, index)
        path.write_bytes(content[:at] + new[:len(old)] + content[at + len(old):])
        with pytest.raises(StoredDataError):
            again(store).read("a")


@pytest.mark.parametrize("seed", range(4))
def test_bytes_changed_at_random(tmp_path, make_features, seed):
    """Whatever is read is what was written, or is refused as ours are; nothing else is raised."""
    videos = {key: make_features(rows=3, seed=number) for number, key in enumerate("ab")}
    path = tmp_path / ShardedStore(tmp_path, "save_webdataset", 10).write_many(videos)
    whole, numbers, refused = path.read_bytes(), np.random.default_rng(seed), 0
    written = {features.features.tobytes() for features in videos.values()}
    for _ in range(150):
        content = bytearray(whole)
        for place in numbers.integers(0, len(content), numbers.integers(1, 30)):
            content[place] = numbers.integers(0, 256)
        path.write_bytes(content[:int(numbers.integers(0, 2 * len(content)))] if numbers.integers(0, 4) == 0 else content)
        for video in find_stored(path):
            try:
                features = video.read(True)
            except StoredDataError:
                refused += 1
                continue
            assert features.features.tobytes() in written
    assert refused
