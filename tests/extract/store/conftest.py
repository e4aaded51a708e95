"""Features to store, made without a model or a video."""

import numpy as np
import pytest
from clipreel.extract.features import Features, Provenance, Settings, Source
from clipreel.extract.store.store import FORMATS, FeatureStore
from clipreel.models.base import EncoderIdentity


def make_features(rows=3, dim=4, *, dtype="float32", fps=25.0, windows=False, seed=0, metadata=None, path="/v/a.mp4",
                  content_id="a" * 32, feature_type="clip", **settings):
    encoder = EncoderIdentity(feature_type, "tiny", None, "f" * 64, "float32", "center", "tensor")
    chosen = {"sampling": "played_at", "extraction_fps": 1.0, "extraction_total": None, "start": None, "end": None,
              "fps": None, "reader": "pyav", "dtype": dtype, "normalize": False} | settings
    source = Source(path, 1234, content_id, 96, 64, 3.0)
    numbers = np.random.default_rng(seed)
    times = np.arange(rows) * 1000 / 3
    return Features(numbers.standard_normal((rows, dim)).astype(dtype), times, fps,
                    Provenance(source, Settings(encoder, **chosen), "0.1.0", metadata or {}),
                    np.stack([times, times + 640], axis=1) if windows else None)


@pytest.fixture(name="make_features")
def _make_features():
    return make_features


def same(one, other):
    """Equal to the bit, NaN fps included."""
    arrays, others = one.arrays(), other.arrays()
    return (arrays.keys() == others.keys() and one.provenance == other.provenance
            and all(arrays[name].dtype == others[name].dtype and arrays[name].shape == others[name].shape
                    and arrays[name].tobytes() == others[name].tobytes() for name in arrays))


@pytest.fixture(name="same")
def _same():
    return same


@pytest.fixture(params=sorted(FORMATS))
def store(request, tmp_path):
    one = FeatureStore(tmp_path / "output" / "clip" / "tiny", request.param)
    one.prepare()
    return one


@pytest.fixture(params=["save_numpy", "save_pickle"])
def separate(request, tmp_path):
    return FeatureStore(tmp_path, request.param)
