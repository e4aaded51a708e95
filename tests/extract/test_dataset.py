"""FeatureDataset: every format, batches with masks, workers."""

import pickle

import numpy as np
import pytest
import torch
from clipreel import FeatureDataset, cli, extract_features, load_features
from clipreel.errors import StoredDataError
from torch.utils.data import DataLoader


@pytest.fixture(scope="module", params=["save_numpy", "save_pickle", "save_hdf5", "packed", "save_webdataset", "many"])
def stored(request, tmp_path_factory, tiny, sample_videos):
    folder = tmp_path_factory.mktemp(request.param)
    listed = folder / "videos.csv"
    listed.write_text("path,label\n" + "".join(f"{path},{number}\n" for number, path in enumerate(sample_videos)))
    report = extract_features(file_with_video_paths=listed, encoder=tiny, extraction_fps=1, output_path=folder,
                              on_extraction="save_hdf5" if request.param in ("packed", "many") else request.param,
                              videos_per_file=2 if request.param == "many" else None)
    assert not report.failed
    if request.param != "packed":
        return folder / "clip" / "tiny"
    assert cli.main(["pack", str(folder / "clip" / "tiny"), str(folder / "all.h5")]) == 0
    return folder / "all.h5"


def test_every_video_as_it_is_stored(stored, sample_videos):
    dataset = pickle.loads(pickle.dumps(FeatureDataset(stored)))  # as a loader's workers get it that are spawned, not forked
    assert len(dataset) == len(sample_videos)
    assert list(dataset.keys) == sorted(path.stem for path in sample_videos)
    for sample in dataset:
        features = load_features(stored, key=sample.key)
        assert torch.equal(sample.features, torch.from_numpy(features.features))
        assert np.array_equal(sample.timestamps_ms.numpy(), features.timestamps_ms)
        assert sample_videos[int(sample.metadata["label"])].stem == sample.key


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_a_loader(stored, workers):
    dataset = FeatureDataset(stored)
    (batch,) = DataLoader(dataset, batch_size=len(dataset), num_workers=workers, collate_fn=FeatureDataset.collate)
    assert batch.keys == dataset.keys
    lengths = [len(sample.features) for sample in dataset]
    assert len(set(lengths)) > 1
    assert batch.mask.sum(dim=1).tolist() == lengths
    assert batch.features.shape == (len(dataset), max(lengths), dataset[0].features.shape[1])
    for row, sample in enumerate(dataset):
        assert torch.equal(batch.features[row][batch.mask[row]], sample.features)
        assert torch.equal(batch.timestamps_ms[row][batch.mask[row]], sample.timestamps_ms)
    assert not batch.features[~batch.mask].any()
    assert batch.timestamps_ms[~batch.mask].isnan().all()


def test_some_keys_and_fewer_rows(stored):
    whole = FeatureDataset(stored)
    longest = max(whole, key=lambda sample: len(sample.features))
    (sample,) = FeatureDataset(stored, keys=[longest.key], max_rows=3)
    assert sample.features.shape[0] == 3
    n = len(longest.features)
    assert sample.timestamps_ms.tolist() == [longest.timestamps_ms[int((k + 0.5) * n / 3)] for k in range(3)]
    with pytest.raises(StoredDataError, match="nobody"):
        FeatureDataset(stored, keys=["nobody"])
    with pytest.raises(ValueError, match="max_rows=0"):
        FeatureDataset(stored, max_rows=0)


def test_nothing_there(tmp_path):
    with pytest.raises(StoredDataError, match="no stored features"):
        FeatureDataset(tmp_path)
