"""The gallery: any store's features, thinned by the original's rule, with masks, misses and refusals."""

import numpy as np
import pytest
from clipreel import extract_features
from clipreel.cli import main
from clipreel.errors import StoredDataError
from clipreel.extract.text_features import CaptionFeatures
from clipreel.retrieval.annotations import CaptionedVideo
from clipreel.retrieval.gallery import load_gallery, thinned
from clipreel.retrieval.queries import cut_to_tokens, query_features


@pytest.fixture(scope="module")
def stored(tmp_path_factory, tiny, sample_videos):
    """Features of the sample videos in each format, and all in one file."""
    folder = tmp_path_factory.mktemp("gallery")
    for name in ("save_numpy", "save_pickle", "save_hdf5"):
        extract_features([str(path) for path in sample_videos], encoder=tiny, extraction_fps=1, on_extraction=name,
                         output_path=folder / name)
    assert main(["pack", str(folder / "save_pickle"), str(folder / "packed.h5")]) == 0
    return folder


def test_every_format_gives_the_same_gallery(stored, sample_videos):
    ids = [path.stem for path in sample_videos]
    galleries = [load_gallery(stored / name, ids, 5) for name in ("save_numpy", "save_pickle", "save_hdf5", "packed.h5")]
    for gallery in galleries:
        assert gallery.video_ids == tuple(ids)
        assert gallery.features.shape == (len(ids), 5, 64)
        assert (gallery.features == galleries[0].features).all()
        assert (gallery.timestamps_ms == galleries[0].timestamps_ms).all()
        assert gallery.mask.all() and gallery.missing == ()


@pytest.mark.parametrize("num_frm", [1, 12, 16, 32, 64])
def test_frames_are_thinned_by_the_originals_rule(num_frm):
    for rows in range(1, 300):
        assert thinned(rows, num_frm).tolist() == np.floor(np.linspace(0, rows, num_frm, endpoint=False)).astype(int).tolist()


def test_a_short_video_keeps_each_frame_once(stored, sample_videos):
    one = sample_videos[0].stem
    whole, thin = load_gallery(stored / "save_numpy", [one]), load_gallery(stored / "save_numpy", [one], 20)
    rows = whole.features.shape[1]
    assert rows < 20
    assert thin.mask.sum() == rows
    assert (thin.features[thin.mask] == whole.features[0]).all()
    assert (thin.features[0] == whole.features[0][thinned(rows, 20)]).all()
    assert (thin.timestamps_ms[thin.mask] == whole.timestamps_ms[0]).all()


def test_all_stored_rows_of_all_stored_videos(stored, sample_videos):
    gallery = load_gallery(stored / "save_numpy")
    assert gallery.video_ids == tuple(sorted(path.stem for path in sample_videos))
    assert gallery.mask.sum(axis=1).max() == gallery.mask.shape[1] > gallery.mask.sum(axis=1).min()
    assert np.isnan(gallery.timestamps_ms[~gallery.mask]).all()
    assert (gallery.features[~gallery.mask] == 0).all()


def test_a_video_without_features_stays(stored, sample_videos, caplog):
    ids = ["gone", sample_videos[1].stem, "gone too"]
    gallery = load_gallery(stored / "save_hdf5", ids, 4)
    assert gallery.video_ids == tuple(ids)
    assert gallery.missing == ("gone", "gone too")
    assert gallery.available.tolist() == [False, True, False]
    assert not gallery.mask[0].any() and np.isnan(gallery.timestamps_ms[0]).all()
    assert "2 of 3 videos have no stored features" in caplog.text and "gone" in caplog.text


def test_the_column_video_id_says_whose_features_they_are(tmp_path, tiny, sample_videos):
    (tmp_path / "videos.csv").write_text(f"path,id,video_id\n{sample_videos[0]},26@N04_a.m4v,26@N04_a.m4v\n"
                                         f"{sample_videos[1]},other,a/slash\n")
    extract_features(file_with_video_paths=tmp_path / "videos.csv", encoder=tiny, extraction_total=3, on_extraction="save_numpy",
                     output_path=tmp_path)
    gallery = load_gallery(tmp_path / "clip", ["a/slash", "26@N04_a.m4v"], 3)
    assert gallery.missing == ()


def test_what_cannot_be_one_gallery_is_refused(stored, tmp_path, tiny, sample_videos):
    with pytest.raises(StoredDataError, match="none of the 1 videos"):
        load_gallery(stored / "save_numpy", ["gone"], 4)
    with pytest.raises(StoredDataError, match="twice"):
        load_gallery(stored, [sample_videos[0].stem], 4)
    with pytest.raises(StoredDataError, match="no such folder"):
        load_gallery(tmp_path / "gone", ["a"], 4)
    with pytest.raises(StoredDataError, match="no stored features"):
        load_gallery(tmp_path, ["a"], 4)


def test_queries_joined_each_and_averaged(tmp_path, tiny):
    videos = (CaptionedVideo("a", ("a red circle", "a blue ring")), CaptionedVideo("b", ("a red circle",)))
    store = CaptionFeatures(tmp_path, tiny.identity)
    texts = ["a red circle", "a blue ring", "a red circle a blue ring"]
    encoded = tiny.encode_text(texts).numpy()
    red, blue, both = encoded / np.linalg.norm(encoded, axis=1, keepdims=True)
    joined = query_features(videos, "concat", store, lambda: tiny)
    assert np.allclose(joined.features, [both, red], atol=1e-6)
    each = query_features(videos, "indep-all", store, lambda: tiny)
    assert np.allclose(each.features, [red, blue, red], atol=1e-6)
    assert each.video_of.tolist() == [0, 0, 1]
    mean = query_features(videos, "mean", store, lambda: tiny)
    assert np.allclose(mean.features, [(red + blue) / np.linalg.norm(red + blue), red], atol=1e-6)
    assert (mean.video_of.tolist(), mean.cut) == ([0, 1], 0)

    def never():
        raise AssertionError("everything is stored")

    assert (query_features(videos, "mean", CaptionFeatures(tmp_path, tiny.identity), never).features == mean.features).all()


def test_a_long_text_is_cut_at_a_word_and_counted(tmp_path, tiny):
    long = "a red circle " * 40
    assert cut_to_tokens("a red circle", 5) == "a red circle"
    assert cut_to_tokens("a red circle", 4) == "a red"
    assert cut_to_tokens("a red circle", 3) == "a"
    assert len(cut_to_tokens(long, 32).split()) == 30
    videos = (CaptionedVideo("a", (long,)), CaptionedVideo("b", ("a ring",)))
    store = CaptionFeatures(tmp_path, tiny.identity)
    assert query_features(videos, "concat", store, lambda: tiny, 32).cut == 1
    assert query_features(videos, "concat", store, lambda: tiny).cut == 1  # the model reads 77
