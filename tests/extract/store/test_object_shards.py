"""Files of many videos at a URL: those that a folder would hold, to the byte, against an S3 server on this machine."""

import threading

import pytest
from clipreel import FeatureDataset, cli, extract_features, load_features
from clipreel.errors import StoreConflictError, StoredDataError
from clipreel.extract import remote
from clipreel.extract.store.object_shards import ShardedObjectStore, open_store_at
from clipreel.extract.store.object_store import find_stored_at
from clipreel.extract.store.sharded import ShardedStore
from clipreel.tests.extract.stored_files import below, files


@pytest.fixture(scope="module")
def fs(s3):
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False)


@pytest.fixture(params=["save_hdf5", "save_webdataset"])
def stores(request, s3, tmp_path):
    """One in a folder, one at a URL."""
    both = ShardedStore(tmp_path / "here", request.param, 3), ShardedObjectStore(f"{s3}/{tmp_path.name}", request.param, 3)
    for store in both:
        store.prepare()
    return both


def test_files_are_a_folders_to_the_byte(stores, fs, make_features, same):
    here, there = stores
    videos = {key: make_features(rows=number + 1, seed=number) for number, key in enumerate(["a", "b", "ключ 鍵", "d", "e"])}
    newer = {"b": make_features(rows=9, seed=9), "d": make_features(rows=3, seed=10), "e": make_features(rows=4, seed=11)}
    for store in stores:
        with store.locked():
            store.write_many({key: videos[key] for key in ("a", "b", "ключ 鍵")})
            store.write_many({key: videos[key] for key in ("d", "e")})
            store.write_many(newer)  # one file written anew, one gone
    assert sorted(files(here.folder)) == ["videos-00000" + here._suffix, "videos-00002" + here._suffix]
    assert below(fs, there.place) == files(here.folder)  # and no lock
    again = ShardedObjectStore(there.place, "save_hdf5" if there._suffix == ".h5" else "save_webdataset", 3)
    again.prepare()
    for key, features in (videos | newer).items():
        for store in (there, again):
            assert same(store.read(key, verify=True), features)
            assert store.has(key, features.provenance.settings.fingerprint)
    found = {video.key: video for video in find_stored_at(there.place)}
    assert sorted(found) == sorted(videos) == again.keys()
    assert same(found["b"].read(True), newer["b"])
    assert same(load_features(f"{there.place}/videos-00002{there._suffix}", key="b"), newer["b"])
    assert len(FeatureDataset(there.place)) == 5


def test_no_file_is_written_over(stores, fs, make_features):
    """Not even where a lock was taken for a dead run's."""
    _, there = stores
    others = [ShardedObjectStore(there.place, "save_hdf5" if there._suffix == ".h5" else "save_webdataset", 3) for _ in range(3)]
    barrier = threading.Barrier(3)

    def write(number):
        features = make_features(seed=number)
        barrier.wait()
        others[number].write_many({f"v{number}": features})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(below(fs, there.place)) == 3
    there.refresh()
    assert there.keys() == ["v0", "v1", "v2"]


def test_what_is_cut_is_said(stores, fs, make_features):
    _, there = stores
    there.write("a", make_features())
    (name, content), = below(fs, there.place).items()
    place = there.place.removeprefix("s3://")
    fs.pipe_file(f"{place}/{name}", content[:len(content) // 2])
    with pytest.raises(StoredDataError, match="move it away"):
        ShardedObjectStore(there.place, "save_hdf5" if there._suffix == ".h5" else "save_webdataset", 3).prepare()
    with pytest.raises(StoredDataError):
        load_features(f"{there.place}/{name}")


def test_one_video_a_file_and_many_do_not_mix(s3, make_features):
    one, many = f"{s3}/alone", f"{s3}/together"
    open_store_at(one, "save_hdf5", None).write("a", make_features())
    with pytest.raises(StoreConflictError, match="is a video's own file"):
        open_store_at(one, "save_hdf5", 2).prepare()
    open_store_at(many, "save_hdf5", 2).write("a", make_features())
    with pytest.raises(StoreConflictError, match="is a file of many videos"):
        open_store_at(many, "save_hdf5", None)


def test_a_lock_of_a_long_upload_is_kept(s3, fs, monkeypatch):
    from clipreel.extract.store import object_place

    monkeypatch.setattr(object_place, "_LOCK_SECONDS", 0.4)
    one, other = (ShardedObjectStore(f"{s3}/locks", "save_hdf5", 3) for _ in range(2))
    ended = []

    def wait():
        with other.locked():
            ended.append("other")

    thread = threading.Thread(target=wait)
    with one.locked():
        thread.start()
        thread.join(1.5)
        ended.append("one")
    thread.join()
    assert ended == ["one", "other"]
    assert below(fs, f"{s3}/locks") == {}


@pytest.mark.parametrize("format_name", ["save_hdf5", "save_webdataset"])
def test_a_run_stores_skips_and_replaces(format_name, s3, fs, sample_videos, tiny, tmp_path, capfd):
    keys = {"encoder": tiny, "extraction_fps": 1, "on_extraction": format_name, "videos_per_file": 2, "workers": 1,
            "deterministic": True}
    videos, output = sample_videos[:3], f"{s3}/many-{format_name}"
    here = extract_features(videos, output_path=tmp_path, **keys)
    there = extract_features(videos, output_path=output, **keys)
    assert sorted(there.done) == sorted(here.done)
    assert below(fs, output) == files(tmp_path)
    again = extract_features(videos, output_path=output, **keys)
    assert (again.done, len(again.skipped)) == ([], 3)
    with pytest.raises(StoreConflictError, match="normalize"):
        extract_features(videos, output_path=output, normalize=True, **keys)
    other = extract_features(videos, output_path=output, normalize=True, overwrite=True, **keys)
    assert all(features.provenance.settings.normalize for features in other.features.values())
    suffix = ".h5" if format_name == "save_hdf5" else ".tar"
    assert sorted(name for name in below(fs, output) if name != "failures.jsonl") == [
        f"clip/tiny/videos-0000{number}{suffix}" for number in (2, 3)]
    assert cli.main(["inspect", output]) == 0
    assert videos[0].stem in capfd.readouterr().out


def test_large_files_go_up_in_parts(s3, fs, monkeypatch):
    """As S3 wants it from a size on: there whole at the end, and only where there is none of its name."""
    at_once = type(fs)._pipe_file

    async def in_parts(self, path, data, **keys):
        return await at_once(self, path, data, **keys | {"chunksize": 6 << 20})

    monkeypatch.setattr(type(fs), "_pipe_file", in_parts)
    type(fs).clear_instance_cache()
    content = bytes(range(256)) * (60 << 10)  # 15 MB
    assert remote.create(f"{s3}/large", content)
    assert fs.cat_file("bucket/large") == content
    assert "-" in fs.info("bucket/large")["ETag"]  # it came in parts
    assert not remote.create(f"{s3}/large", content[:-1])
    assert fs.cat_file("bucket/large") == content
    type(fs).clear_instance_cache()
