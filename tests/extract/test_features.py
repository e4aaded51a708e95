"""What leaves `extract`: shapes that fit, settings that say what made the numbers, provenance that survives JSON."""

import dataclasses
import json

import numpy as np
import pytest
from clipreel.extract.features import Features, Provenance, Settings, Source, provenance_from_json, provenance_to_json
from clipreel.models.base import EncoderIdentity

ENCODER = EncoderIdentity("clip", "ViT-B/32", None, "f" * 64, "float32", "center", "tensor")
SETTINGS = Settings(ENCODER, "played_at", 1.0, None, None, None, None, "pyav", "float32", False)
PROVENANCE = Provenance(Source("/v/a.mp4", 9, "c" * 32, 96, 64, 3.0, 0.5, None), SETTINGS, "0.1.0", {"label": "x"})


@pytest.mark.parametrize(("features", "times", "intervals"), [
    ((3,), (3,), None), ((3, 4), (2,), None), ((3, 4), (3, 1), None), ((0, 4), (0,), None), ((3, 4), (3,), (3,)),
    ((3, 4), (3,), (2, 2)), ((3, 4, 1), (3,), None),
])
def test_arrays_that_do_not_fit_are_refused(features, times, intervals):
    with pytest.raises(ValueError, match=r"features|intervals_ms"):
        Features(np.zeros(features), np.zeros(times), 25.0, PROVENANCE, np.zeros(intervals) if intervals else None)


def test_arrays_and_words():
    features = Features(np.zeros((3, 4), np.float32), np.zeros(3), 25.0, PROVENANCE)
    assert list(features.arrays()) == ["clip", "timestamps_ms", "fps"]
    assert features.arrays()["fps"].shape == ()
    windows = dataclasses.replace(features, intervals_ms=np.zeros((3, 2)))
    assert list(windows.arrays()) == ["clip", "timestamps_ms", "fps", "intervals_ms"]
    assert len(features) == 3
    assert features.extraction_fps == 1.0
    assert repr(features) == "Features(features=float32[3, 4], fps=25, source='/v/a.mp4')"


def test_the_fingerprint_is_of_every_setting():
    seen = {SETTINGS.fingerprint}
    for name, value in {"sampling": "video_features", "extraction_fps": 2.0, "extraction_total": 8, "start": 1.0, "end": 2.0,
                        "fps": 25.0, "reader": "decord", "dtype": "float16", "normalize": True}.items():
        seen.add(dataclasses.replace(SETTINGS, **{name: value}).fingerprint)
    for field in dataclasses.fields(ENCODER):
        other = dataclasses.replace(ENCODER, **{field.name: "other"})
        seen.add(dataclasses.replace(SETTINGS, encoder=other).fingerprint)
    assert len(seen) == 1 + 9 + len(dataclasses.fields(ENCODER))
    assert dataclasses.replace(SETTINGS).fingerprint == SETTINGS.fingerprint


def test_provenance_survives_json():
    content = json.loads(json.dumps(provenance_to_json(PROVENANCE)))
    assert provenance_from_json(content) == PROVENANCE
    whole_numbers = dataclasses.replace(PROVENANCE, source=dataclasses.replace(PROVENANCE.source, duration_seconds=3))
    assert provenance_from_json(json.loads(json.dumps(provenance_to_json(whole_numbers)))) == PROVENANCE


@pytest.mark.parametrize("change", [
    {"source": None}, {"source": {}}, {"settings": []}, {"metadata": []}, {"settings": {"model_name": "x"}},
    {"source": {**dataclasses.asdict(PROVENANCE.source), "width": "96"}},
    {"source": {**dataclasses.asdict(PROVENANCE.source), "more": 1}},
    {"settings": {**SETTINGS.flat(), "more": 1}}, {"settings": {**SETTINGS.flat(), "normalize": "no"}},
])
def test_foreign_json_is_refused(change):
    with pytest.raises((KeyError, TypeError, AttributeError)):
        provenance_from_json({**provenance_to_json(PROVENANCE), **change})
