"""What is given from Python: videos and numbers of many kinds."""

import numpy as np
import pytest
from clipreel import extract_features


@pytest.mark.parametrize("videos", [b"a.mp4", 3, [b"a.mp4"], {"a.mp4": 1}, [3]])
def test_python_is_told_what_videos_are(videos):
    from clipreel.errors import ConfigError

    with pytest.raises(ConfigError, match=r"videos=.* allowed is a path"):
        extract_features(videos)


def test_numbers_of_numpy_are_numbers(tiny, sample_videos):
    report = extract_features(sample_videos[0], encoder=tiny, extraction_fps=np.float32(1), batch_size=np.int64(4),
                              normalize=np.True_)
    assert np.allclose(np.linalg.norm(report.features[sample_videos[0].stem].features, axis=1), 1)
