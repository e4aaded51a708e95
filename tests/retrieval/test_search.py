"""`retrieval index` and `retrieval search` from the user's side, on drawn videos whose captions are known."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from clipreel import encode_texts, extract_features, index_videos, load_features, open_search, search_videos
from clipreel.cli import main
from clipreel.configs.schema import PackConfig
from clipreel.errors import ConfigError, StoreConflictError, StoredDataError
from clipreel.extract.store.pack import run as pack
from clipreel.models.adaclip.checkpoint import Checkpoint, TextRules, load_checkpoint, save_checkpoint
from clipreel.models.adaclip.model import AdaClip
from clipreel.models.adaclip.options import AdaClipOptions
from clipreel.retrieval.api import train_retrieval
from clipreel.retrieval.baselines import k_medoids, unit
from clipreel.retrieval.gallery import load_gallery
from clipreel.retrieval.index import VectorIndex
from clipreel.retrieval.rerank import VideoFrames, second_looks
from clipreel.sample.make import SAMPLE_VIDEOS


@pytest.fixture(scope="module")
def features(tiny, sample_videos, tmp_path_factory):
    """Of the sample videos, 4 a second."""
    folder = tmp_path_factory.mktemp("features")
    extract_features(sample_videos, encoder=tiny, extraction_fps=4, batch_size=64, on_extraction="save_numpy", output_path=folder)
    return folder / "clip" / "tiny"


@pytest.fixture
def copied(features, tmp_path):
    return Path(shutil.copytree(features, tmp_path / "features"))


@pytest.fixture
def index(features, tmp_path):
    index_videos(features, tmp_path / "videos.index")
    return tmp_path / "videos.index"


@pytest.fixture(scope="module")
def checkpoint(training_world, tmp_path_factory):
    keys = training_world.keys(tmp_path_factory.mktemp("trained") / "run", num_epochs=3)
    return train_retrieval(**keys).checkpoint


def vectors_by_id(index):
    opened = VectorIndex.open(index)
    rows = opened.rows_of([video.video_id for video in opened.videos()])
    return {video_id: opened.vectors(np.array([row]))[0] for video_id, row in rows.items()}


# what is found


def test_each_caption_finds_its_video_and_when(index, tiny):
    asked = {"a red circle": ("red_circle_then_blue_square", 0, 4), "a yellow ring": ("three_scenes", 5, 9),
             "a purple square": ("moving_shapes", 3, 6), "a cyan circle": ("moving_shapes", 0, 3)}
    known = {Path(video.name).stem for video in SAMPLE_VIDEOS}
    for rerank in ("maxsim", "qscore"):
        done = search_videos(index, list(asked), encoder=tiny, rerank=rerank, device="cpu")
        for result, (video_id, begin, end) in zip(done.results, asked.values(), strict=True):
            first = result.videos[0]
            assert (first.video_id, first.rank) == (video_id, 1)
            assert first.seconds is not None and begin <= first.seconds < end
            assert Path(first.source).stem == video_id
            assert [video.score for video in result.videos] == sorted((video.score for video in result.videos), reverse=True)
            assert {video.video_id for video in result.videos} == known


def test_scores_are_cosines_of_texts_and_means(index, features, tiny, sample_videos):
    (result,) = search_videos(index, "a blue ring", encoder=tiny, device="cpu").results
    text = unit(tiny.encode_text(["a blue ring"]).numpy())[0]
    for video in result.videos:
        frames = unit(load_features(features, video.video_id).features)
        assert video.score == pytest.approx(float(unit(frames.mean(axis=0)[None])[0] @ text), abs=1e-3)  # float16
        assert video.seconds is None


def test_the_second_look_is_as_the_formulas_say():
    rng = np.random.default_rng(0)
    text = unit(rng.standard_normal((1, 8)).astype(np.float32))[0]
    videos = [VideoFrames(unit(rng.standard_normal((n, 8)).astype(np.float32)), np.arange(n) * 250.0) for n in (1, 5, 30)]
    best, moments = second_looks(text, videos, "maxsim", 1.0)
    assert np.allclose(best, [max(float(frame @ text) for frame in video.features) for video in videos])
    assert np.allclose(moments, [0.25 * int(np.argmax(video.features @ text)) for video in videos])
    for temperature in (0.05, 1.0, 1000.0):
        scores, again = second_looks(text, videos, "qscore", temperature)
        assert np.array_equal(moments, again)
        for score, video in zip(scores, videos, strict=True):
            weights = np.exp(video.features @ text / temperature)
            pooled = (weights / weights.sum()) @ video.features
            assert score == pytest.approx(float(pooled @ text / np.linalg.norm(pooled)), abs=1e-5)


@pytest.mark.parametrize(("keys", "choose"), [
    ({}, lambda frames: np.arange(len(frames))),
    ({"selection": "uniform", "top_k": 3}, lambda frames: np.floor(np.linspace(0, len(frames), 3, endpoint=False)).astype(int)),
    ({"selection": "kmedoids", "top_k": 3}, lambda frames: k_medoids(frames, 3)),
])
def test_without_a_checkpoint_the_vector_is_the_mean_of_chosen_frames(features, tmp_path, keys, choose):
    index_videos(features, tmp_path / "i", dtype="float32", **keys)
    for video_id, vector in vectors_by_id(tmp_path / "i").items():
        frames = unit(load_features(features, video_id).features)
        assert np.allclose(vector, unit(frames[choose(frames)].mean(axis=0)[None])[0], atol=1e-6)


def test_a_checkpoint_makes_vectors_and_reads_queries(training_world, checkpoint, tiny, tmp_path):
    stored = training_world.folder / "clip" / "tiny"
    index_videos(stored, tmp_path / "i", checkpoint=checkpoint, dtype="float32", device="cpu", batch_size=7)
    trained = load_checkpoint(checkpoint)
    gallery = load_gallery(stored, None, trained.options.num_frm)
    import torch

    with torch.inference_mode():
        right = trained.model.encode_videos(torch.from_numpy(gallery.features), torch.from_numpy(gallery.mask)).numpy()
    mine = vectors_by_id(tmp_path / "i")
    assert np.allclose(np.stack([mine[video_id] for video_id in gallery.video_ids]), right, atol=1e-5)
    shutil.copy(checkpoint, tmp_path / "kept.safetensors")
    captions = [said["sentences"][0] for said in json.loads((training_world.folder / "test.json").read_text()).values()]
    done = search_videos(tmp_path / "i", captions, encoder=tiny, device="cpu", top=5)  # the index has its own copy of the model
    with torch.inference_mode():
        texts = trained.model.encode_texts(tiny.encode_text(captions)).numpy()
    for result, scores in zip(done.results, texts @ right.T, strict=True):
        best = np.argsort(-scores)[:5]
        assert [video.video_id for video in result.videos] == [gallery.video_ids[place] for place in best]
        assert np.allclose([video.score for video in result.videos], scores[best], atol=1e-4)


def test_checkpoints_that_do_not_go_with_it(features, tiny, tmp_path, training_world, checkpoint):
    options = {"dim": tiny.dim, "num_frm": 8, "top_k": 4, "hidden_dim": 32}
    rules = TextRules("concat", 77)
    save_checkpoint(tmp_path / "q", Checkpoint(AdaClip(AdaClipOptions(**options, frame_agg="qscore")), tiny.identity, rules))
    with pytest.raises(ConfigError, match="anew for every query"):
        index_videos(features, tmp_path / "i", checkpoint=tmp_path / "q", device="cpu")
    from dataclasses import replace

    other = replace(tiny.identity, weights_sha256="1" * 64)
    save_checkpoint(tmp_path / "o", Checkpoint(AdaClip(AdaClipOptions(**options)), other, rules))
    with pytest.raises(ConfigError, match="give the features that it was trained on"):
        index_videos(features, tmp_path / "i", checkpoint=tmp_path / "o", device="cpu")
    assert not (tmp_path / "i").exists()
    index_videos(features, tmp_path / "i", checkpoint=checkpoint, device="cpu")
    with pytest.raises(StoreConflictError, match="selection: adaclip there, all now"):
        index_videos(features, tmp_path / "i")


def test_features_that_no_text_could_find_are_refused(sample_videos, tmp_path, capsys):
    extract_features(sample_videos[0], feature_type="policy", model_name="raw", device="cpu", extraction_total=2,
                     on_extraction="save_numpy", output_path=tmp_path)
    assert main(["retrieval", "index", f"features={tmp_path / 'policy' / 'raw'}", f"output_path={tmp_path / 'i'}"]) == 2
    assert "no text could find them" in capsys.readouterr().err
    assert not (tmp_path / "i").exists()


# coming and going


def test_a_second_run_does_what_is_new(copied, tmp_path, tiny, sample_videos, capsys):
    last = sample_videos[-1].stem
    held = [path.rename(tmp_path / path.name) for path in sorted(copied.glob(f"{last}_*"))]
    words = [f"features={copied}", f"output_path={tmp_path}/i"]
    assert main(["retrieval", "index", *words]) == 0
    assert "3 added, 0 updated, 0 deleted, 0 unchanged" in capsys.readouterr().out
    before = (tmp_path / "i" / "index.json").read_bytes()
    assert main(["retrieval", "index", *words]) == 0
    assert "0 added, 0 updated, 0 deleted, 3 unchanged" in capsys.readouterr().out
    assert (tmp_path / "i" / "index.json").read_bytes() == before
    for path in held:
        path.rename(copied / path.name)
    extract_features(sample_videos[0], encoder=tiny, extraction_fps=1, on_extraction="save_numpy", overwrite=True,
                     output_path=tmp_path / "again")
    for path in (tmp_path / "again" / "clip" / "tiny").iterdir():
        shutil.copy(path, copied / path.name)
    assert main(["retrieval", "index", *words]) == 0
    assert "4 videos: 1 added, 1 updated, 0 deleted, 2 unchanged" in capsys.readouterr().out
    for path in copied.glob(f"{last}_*"):
        path.unlink()
    assert main(["retrieval", "index", *words]) == 0
    assert "prune=true" in capsys.readouterr().err
    assert main(["retrieval", "index", *words, "prune=true"]) == 0
    assert "3 videos: 0 added, 0 updated, 1 deleted, 3 unchanged" in capsys.readouterr().out
    assert main(["retrieval", "index", f"output_path={tmp_path}/i", f"delete=[{sample_videos[0].stem}, nobody]"]) == 0
    out, err = capsys.readouterr()
    assert "2 videos: 0 added, 0 updated, 1 deleted" in out and "1 ids of delete= are none of the index's: nobody" in err


def test_several_folders_of_features_in_one_index(features, training_world, tmp_path, tiny):
    index_videos(features, tmp_path / "i")
    done = index_videos(training_world.folder / "clip" / "tiny", tmp_path / "i", prune=True)  # prunes nothing of the other folder
    assert done.change.videos == 4 + done.change.added
    (result,) = search_videos(tmp_path / "i", "a yellow ring", encoder=tiny, rerank="maxsim", device="cpu",
                              top=done.change.videos).results
    when = {video.video_id: video.seconds for video in result.videos if video.seconds is not None}
    assert len(when) == done.change.videos  # frames of both folders are found
    assert 5 <= when["three_scenes"] < 9


@pytest.mark.parametrize("layout", ["save_hdf5", "save_pickle", "packed", "save_webdataset"])
def test_every_format_of_features(layout, tiny, sample_videos, tmp_path):
    form = "save_hdf5" if layout == "packed" else layout
    extract_features(sample_videos, encoder=tiny, extraction_fps=2, batch_size=64, on_extraction=form, output_path=tmp_path)
    stored = tmp_path / "clip" / "tiny"
    if layout == "packed":
        pack(PackConfig(str(stored), str(tmp_path / "all.h5")))
        stored = tmp_path / "all.h5"
    index_videos(stored, tmp_path / "i")
    (result,) = search_videos(tmp_path / "i", "a purple square", encoder=tiny, rerank="maxsim", device="cpu", top=1).results
    assert result.videos[0].video_id == "moving_shapes"
    assert index_videos(stored, tmp_path / "i").unchanged == 4


def test_damaged_features_are_a_row_and_the_others_go_on(copied, tmp_path, sample_videos, capsys):
    (path,) = copied.glob(f"{sample_videos[1].stem}_clip.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert main(["retrieval", "index", f"features={copied}", f"output_path={tmp_path}/i"]) == 1
    out, err = capsys.readouterr()
    assert "3 videos: 3 added" in out
    assert str(path) in err
    path.write_bytes(whole)
    assert main(["retrieval", "index", f"features={copied}", f"output_path={tmp_path}/i"]) == 0
    assert "4 videos: 1 added" in capsys.readouterr().out


# what is said


def test_a_table_and_json(index, capsys):
    words = ["retrieval", "search", f"index={index}", "device=cpu"]
    assert main([*words, "query=a yellow ring", "top=2", "rerank=maxsim"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "a yellow ring" and lines[1].split() == ["rank", "score", "at", "video"]
    assert lines[2].split()[0] == "1" and lines[2].split()[3:5] == ["s", "three_scenes"] and len(lines) == 4
    assert "4 videos searched in" in err
    assert main([*words, "query=['a yellow ring', 'a red circle']", "json=true"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [result["query"] for result in content["results"]] == ["a yellow ring", "a red circle"]
    assert content["results"][0]["videos"][0]["video_id"] == "three_scenes" and content["videos"] == 4
    assert set(content["seconds"]) == {"open", "load", "encode", "search", "rerank"}


def test_a_file_of_queries(index, tmp_path, capsys):
    (tmp_path / "q.csv").write_text("id,caption\n1,a yellow ring\n2,a red circle\n")
    assert main(["retrieval", "search", f"index={index}", f"query_file={tmp_path}/q.csv", "top=1", "device=cpu"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")] == ["a yellow ring", "a red circle"]


@pytest.mark.parametrize(("words", "part"), [
    (["query=x", "top=5"], "top=5: allowed is 1 to 4"), (["query=x", "top=0"], "top=0"), ([], "needs query="),
    (["query=x", "query_file=y"], "both given"), (["query=x", "model_name=ViT-B/32"], "model_name: tiny there, ViT-B/32 now"),
    (["query=x", "feature_type=viclip"], "feature_type: clip there"), (["query=[' ']"], "empty"),
    (["query=x", "features=nowhere"], "goes with rerank"), (["query=x", "rerank_temp=0", "rerank=qscore"], "rerank_temp=0"),
])
def test_questions_that_cannot_be(index, capsys, words, part):
    assert main(["retrieval", "search", f"index={index}", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and part in err and "Traceback" not in err


def test_an_empty_index_and_none(index, tmp_path, sample_videos, capsys):
    assert main(["retrieval", "search", f"index={tmp_path}/nowhere", "query=x"]) == 2
    assert "holds no index" in capsys.readouterr().err
    assert main(["retrieval", "index", f"output_path={index}", f"delete=[{', '.join(path.stem for path in sample_videos)}]"]) == 0
    assert main(["retrieval", "search", f"index={index}", "query=x"]) == 2
    assert "holds no video" in capsys.readouterr().err


def test_features_that_were_moved_or_changed(copied, tmp_path, tiny, sample_videos):
    index_videos(copied, tmp_path / "i")
    search = {"encoder": tiny, "rerank": "qscore", "device": "cpu"}
    moved = copied.rename(tmp_path / "moved")
    with pytest.raises(StoredDataError, match="give features="):
        search_videos(tmp_path / "i", "a red circle", **search)
    assert search_videos(tmp_path / "i", "a red circle", **search, features=moved).results[0].videos[0].seconds is not None
    extract_features(sample_videos[0], encoder=tiny, extraction_fps=1, on_extraction="save_numpy", output_path=tmp_path / "again")
    for path in (tmp_path / "again" / "clip" / "tiny").iterdir():
        shutil.copy(path, moved / path.name)
    with pytest.raises(StoredDataError, match="not those that were indexed"):
        search_videos(tmp_path / "i", "a red circle", **search, features=moved)


def test_another_model_at_hand_is_refused(index, tiny):
    from dataclasses import replace
    from types import SimpleNamespace

    other = SimpleNamespace(identity=replace(tiny.identity, weights_sha256="1" * 64))
    with pytest.raises(ConfigError, match=r"made by another model \(weights_sha256"):
        search_videos(index, "x", encoder=other, device="cpu")  # pyright: ignore[reportArgumentType]


def test_an_open_search_serves_many(index, features, tiny):
    searcher = open_search(index, encoder=tiny, device="cpu", top=1)
    assert searcher.search(["a yellow ring"]).results[0].videos[0].video_id == "three_scenes"
    index_videos(None, index, delete=["three_scenes"])
    assert searcher.search(["a yellow ring"]).results[0].videos[0].video_id == "three_scenes"  # the index that it opened
    (anew,) = search_videos(index, "a yellow ring", encoder=tiny, device="cpu", top=1).results
    assert anew.videos[0].video_id != "three_scenes"


def test_long_queries_are_cut_and_said(index, tiny, capsys):
    long = "a yellow ring " + "and so on " * 60
    (result,) = search_videos(index, long, encoder=tiny, device="cpu").results
    assert result.cut
    assert not search_videos(index, "a yellow ring", encoder=tiny, device="cpu").results[0].cut


@pytest.mark.parametrize(("words", "part"), [
    ([], "needs features="), (["features=x", "top_k=3"], "selection=uniform"), (["delete=[a]", "prune=true"], "go with features="),
    (["features=x", "checkpoint=c", "selection=uniform"], "without checkpoint="), (["features=nowhere"], "nowhere"),
    (["features=x", "policy_features=p"], "goes with checkpoint="), (["features=x", "batch_size=0"], "batch_size=0"),
])
def test_keys_of_index_that_cannot_be(words, part, tmp_path, capsys):
    assert main(["retrieval", "index", f"output_path={tmp_path}/i", *words]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "i").exists()


def test_what_is_stored_cannot_be_deleted_in_the_same_breath(features, index):
    with pytest.raises(StoredDataError, match="would be put in again"):
        index_videos(features, index, delete=["three_scenes"])


def test_texts_of_the_command_are_those_that_search_uses(tiny, tmp_path):
    (tmp_path / "t.txt").write_text("a yellow ring\n")
    stored = encode_texts(tmp_path / "t.txt", encoder=tiny, output_path=tmp_path)
    assert np.allclose(stored.matrix[stored.rows(["a yellow ring"])], unit(tiny.encode_text(["a yellow ring"]).numpy()), atol=1e-6)
