"""retrieval evaluate: the method and what stands beside it, what is refused, what is missing, folders of pictures."""

import json
import shutil

import numpy as np
import pytest
import torch
from clipreel import evaluate_retrieval, extract_features, load_encoder
from clipreel.cli import main
from clipreel.errors import ConfigError, InputError, UsageError
from clipreel.extract.text_features import CaptionFeatures
from clipreel.models.adaclip.checkpoint import Checkpoint, TextRules, load_checkpoint, save_checkpoint
from clipreel.models.adaclip.model import AdaClip
from clipreel.models.adaclip.options import AdaClipOptions
from clipreel.retrieval.annotations import CaptionRule, read_annotations
from clipreel.retrieval.baselines import mean_vectors, uniform
from clipreel.retrieval.gallery import load_gallery
from clipreel.retrieval.metrics import retrieval_metrics
from clipreel.retrieval.queries import query_features
from PIL import Image


@pytest.fixture(scope="module")
def world(training_world):
    return training_world.folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny):
    """An untrained model with every learned part, of the demonstration model's features."""
    torch.manual_seed(0)
    options = AdaClipOptions(dim=64, num_frm=16, top_k=4, frame_agg="mlp", hidden_dim=32, mlp_hidden_dim=32, adapter_dim=8)
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    save_checkpoint(path, Checkpoint(AdaClip(options), tiny.identity, TextRules("mean", 32)))
    return path


def evaluate(world, tmp_path, tiny, **keys):
    keys = {"annotations": world, "features": world / "clip" / "tiny", "texts": world, "output_path": tmp_path, "bootstrap": 50,
            **keys}
    return evaluate_retrieval(encoder=tiny, **{name: value for name, value in keys.items() if value is not None})


def by_hand(world, tiny, k, rule: CaptionRule = "mean"):
    videos = read_annotations(world / "test.json")
    gallery = load_gallery(world / "clip" / "tiny", [video.video_id for video in videos], 16)
    queries = query_features(videos, rule, CaptionFeatures(world / "texts", tiny.identity), lambda: tiny)
    return retrieval_metrics(queries.features @ mean_vectors(gallery.features, uniform(gallery.mask, k)).T, queries.video_of)


def lines(done):
    return [(one.line.choice, one.line.aggregation, one.line.frames) for one in (done.method, *done.baselines)]


def test_uniform_frames_and_their_mean_by_hand(world, tmp_path, tiny):
    done = evaluate(world, tmp_path, tiny, no_policy=True, num_frm=16, top_k=4, concat_captions="mean")
    assert done.method.metrics.text_to_video.recall == by_hand(world, tiny, 4).text_to_video.recall
    assert done.method.metrics.video_to_text.mean_rank == by_hand(world, tiny, 4).video_to_text.mean_rank
    assert lines(done) == [("uniform", "mean", 4), ("random", "mean", 4), ("centre", "mean", 4), ("best fixed", "mean", 4),
                           ("k-medoids", "mean", 4), ("all", "mean", 16), ("uniform", "q-score", 4), ("all", "q-score", 16)]
    whole = by_hand(world, tiny, 16)
    assert done.baselines[4].metrics.text_to_video.recall == whole.text_to_video.recall


def test_every_caption_is_a_query_where_it_is_asked_for(world, tmp_path, tiny):
    done = evaluate(world, tmp_path, tiny, no_policy=True, num_frm=16, concat_captions="indep-all")
    assert (done.method.metrics.query_count, done.method.metrics.gallery_size) == (24, 12)
    assert done.method.metrics.text_to_video.recall == by_hand(world, tiny, 16, "indep-all").text_to_video.recall


def test_a_checkpoint_is_measured_as_it_works_alone(world, tmp_path, tiny, checkpoint):
    done = evaluate(world, tmp_path, tiny, checkpoint=checkpoint)
    videos = read_annotations(world / "test.json")
    gallery = load_gallery(world / "clip" / "tiny", [video.video_id for video in videos], 16)
    queries = query_features(videos, "mean", CaptionFeatures(world / "texts", tiny.identity), lambda: tiny, 32)
    model = load_checkpoint(checkpoint).model
    similarity = model.similarity(*(torch.from_numpy(array) for array in (queries.features, gallery.features, gallery.mask)))
    found = retrieval_metrics(similarity.numpy(), queries.video_of)
    assert done.method.metrics.text_to_video.recall == found.text_to_video.recall
    assert done.method.metrics.text_to_video.mean_rank == found.text_to_video.mean_rank
    assert lines(done)[0] == ("adaclip", "trained mlp", 4)
    assert {"uniform", "random", "centre", "best fixed", "k-medoids", "all"} == {
        one.line.choice for one in done.baselines if one.line.aggregation == "trained mlp"}
    assert done.operations.frames_encoded == 16
    # the adapters, MLP-Score of 4 frames, the selector over 16: dim 64, hidden 32, heads of one
    assert done.operations.choosing_and_aggregating_flops is not None
    perceptron = 2 * 4 * (64 * 1024 + 1024 * 512 + 512)
    assert perceptron < done.operations.choosing_and_aggregating_flops < 1.5 * perceptron
    assert done.operations.encoder_flops_a_frame is not None and done.operations.encoder_flops_a_frame > 1e7


def test_another_choice_for_the_same_checkpoint(world, tmp_path, tiny, checkpoint):
    own = evaluate(world, tmp_path, tiny, checkpoint=checkpoint)
    for selection, choice in (("uniform", "uniform"), ("kmedoids", "k-medoids")):
        done = evaluate(world, tmp_path, tiny, checkpoint=checkpoint, selection=selection)
        assert lines(done)[0] == (choice, "trained mlp", 4)
        (same,) = (one for one in own.baselines if (one.line.choice, one.line.aggregation) == (choice, "trained mlp"))
        assert done.method.metrics == same.metrics
    assert lines(evaluate(world, tmp_path, tiny, selection="kmedoids", num_frm=16, top_k=4))[0] == ("k-medoids", "mean", 4)


def test_a_query_dependent_method_says_so(world, tmp_path, tiny):
    done = evaluate(world, tmp_path, tiny, frame_agg="qscore", num_frm=16, top_k=4, concat_captions="mean")
    assert lines(done)[0] == ("uniform", "q-score", 4)
    assert done.method.line.query_dependent
    assert ("uniform", "q-score", 4) not in lines(done)[1:]


def test_q_score_is_the_formula_written_out(world, tiny):
    from clipreel.retrieval.baselines import every_frame, unit
    from clipreel.retrieval.rivals import q_score

    ids = [video.video_id for video in read_annotations(world / "test.json")]
    gallery = load_gallery(world / "clip" / "tiny", ids, 16)
    texts = unit(np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32))
    found = q_score(gallery, texts, every_frame(gallery.mask), 0.1)
    for text, row in zip(texts, found, strict=True):
        for frames, value in zip(gallery.features, row, strict=True):
            weights = np.exp(unit(frames) @ text / 0.1)
            video = (weights / weights.sum()) @ frames
            assert abs(video @ text / np.linalg.norm(video) - value) < 1e-5


@pytest.fixture
def with_two_missing(world, tmp_path):
    """A copy of the features that lacks two of the twelve."""
    shutil.copytree(world / "clip", tmp_path / "clip")
    gone = [video.video_id for video in read_annotations(world / "test.json")][:2]
    for path in (tmp_path / "clip" / "tiny").iterdir():
        if path.name.startswith(tuple(gone)):
            path.unlink()
    return tmp_path / "clip" / "tiny", gone


def test_missing_videos_are_misses_in_a_gallery_of_the_same_size(world, tmp_path, tiny, with_two_missing, checkpoint):
    features, gone = with_two_missing
    for keys in ({"no_policy": True, "num_frm": 16, "concat_captions": "mean"}, {"checkpoint": checkpoint}):
        done = evaluate(world, tmp_path / "out", tiny, features=features, **keys)
        metrics = done.method.metrics
        assert (metrics.gallery_size, metrics.missing_count, done.missing) == (12, 2, tuple(gone))
        assert metrics.available_text_to_video is not None
        assert metrics.available_text_to_video.count == 10
        assert metrics.text_to_video.recall[50] == pytest.approx(100)  # of 12 videos even the last is among 50
        assert metrics.text_to_video.recall[10] <= 100 * 10 / 12 + 1e-9
        assert metrics.text_to_video.recall[1] == pytest.approx(metrics.available_text_to_video.recall[1] * 10 / 12)


def test_the_command_prints_a_table_and_writes_results(world, tmp_path, capsys, checkpoint, with_two_missing):
    features, gone = with_two_missing
    words = [f"annotations={world}", f"features={features}", f"texts={world}", f"output_path={tmp_path / 'out'}", "device=cpu"]
    assert main(["retrieval", "evaluate", f"checkpoint={checkpoint}", *words]) == 0
    said = capsys.readouterr()
    assert "12 videos (2 missing, which count as misses), 12 queries (concat_captions=mean), 16 frames" in said.out
    assert "> adaclip, trained mlp" in said.out and "best fixed, mean" in said.out and "all, q-score" in said.out
    assert "of the 10 videos that are there:" in said.out
    assert "2 of 12 videos have no stored features" in said.err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["missing"] == gone
    method = results["method"]
    assert (method["choice"], method["frames"], method["query_dependent"]) == ("adaclip", 4, False)
    assert set(method) >= {"text_to_video", "video_to_text", "available_text_to_video", "available_video_to_text"}
    assert set(method["text_to_video"]) == {"R@1", "R@5", "R@10", "R@50", "MedR", "MeanR", "count", "intervals_95"}
    low, high = method["text_to_video"]["intervals_95"]["R@1"]
    assert low <= method["text_to_video"]["R@1"] <= high
    assert results["encoder"]["model_name"] == "tiny"
    assert len(results["baselines"]) == 14


def test_copies_of_a_video_find_neither(world, tmp_path, tiny):
    videos = {video.video_id: {"sentences": video.captions} for video in read_annotations(world / "test.json")}
    first, second = list(videos)[:2]
    shutil.copytree(world / "clip", tmp_path / "clip")
    for path in (tmp_path / "clip" / "tiny").glob(f"{second}*"):
        path.unlink()
    rows = (world / "videos.csv").read_text().splitlines()
    (place,) = (row.split(",")[0] for row in rows if f",{first}," in row)
    (tmp_path / "copy.csv").write_text(f"path,id,video_id\n{world / place},{second},{second}\n")
    extract_features(file_with_video_paths=tmp_path / "copy.csv", encoder=tiny, extraction_total=16, on_extraction="save_numpy",
                     output_path=tmp_path)
    videos[second] = videos[first]
    (tmp_path / "test.json").write_text(json.dumps(videos))
    done = evaluate(world, tmp_path / "out", tiny, annotations=tmp_path, features=tmp_path / "clip", no_policy=True, num_frm=16,
                    concat_captions="mean")
    one = by_hand(world, tiny, 16)
    assert done.method.metrics.gallery_size == 12
    assert done.method.metrics.text_to_video.recall[1] <= one.text_to_video.recall[1]
    pair = {name: videos[name] for name in (first, second)}
    (tmp_path / "test.json").write_text(json.dumps(pair))
    done = evaluate(world, tmp_path / "out", tiny, annotations=tmp_path, features=tmp_path / "clip", no_policy=True, num_frm=16)
    for line in (done.method, *done.baselines):
        assert line.metrics.text_to_video.recall[1] == line.metrics.video_to_text.recall[1] == 0 or line.line.choice == "random"


def test_without_training_videos_the_fixed_positions_are_left_out_and_it_is_said(world, tmp_path, tiny):
    shutil.copy(world / "test.json", tmp_path / "alone.json")
    done = evaluate(world, tmp_path, tiny, annotations=tmp_path / "alone.json", no_policy=True, num_frm=16, top_k=4)
    assert "best fixed" not in {choice for choice, _, _ in lines(done)}
    assert any("best fixed positions" in note for note in done.notes)
    (tmp_path / "train.json").write_text(json.dumps({"no such video": {"sentences": ["a ring"]}}))
    done = evaluate(world, tmp_path, tiny, annotations=tmp_path / "alone.json", no_policy=True, num_frm=16, top_k=4)
    assert any("has features" in note for note in done.notes)


def test_folders_of_pictures_in_place_of_features(world, tmp_path, tiny, sample_videos, caplog):
    colours = {"red": (220, 20, 20), "green": (20, 200, 40), "blue": (30, 40, 220)}
    annotations = {name: {"sentences": [f"a large {name} square in the middle"]} for name in (*colours, "gone")}
    (tmp_path / "test.json").write_text(json.dumps(annotations))
    for name, colour in colours.items():
        (tmp_path / "frames" / name).mkdir(parents=True)
        for number in range(1, 8):
            picture = np.full((64, 64, 3), 110, dtype=np.uint8)
            if number in (1, 4):  # with num_frm=2 the rule takes the first and the fourth of seven
                picture[20:44, 20:44] = colour
            Image.fromarray(picture).save(tmp_path / "frames" / name / f"image_{number:05d}.jpg", quality=95)
    for _ in range(2):
        done = evaluate(world, tmp_path / "out", tiny, annotations=tmp_path, features=None, frames_dir=tmp_path / "frames",
                        no_policy=True, num_frm=2, texts=tmp_path)
        assert done.missing == ("gone",)
        assert done.method.metrics.available_text_to_video is not None
        assert done.method.metrics.available_text_to_video.recall[1] == 100
        assert done.method.metrics.text_to_video.recall[1] == 75
    gallery = load_gallery(tmp_path / "out" / "features_2", list(colours))
    assert gallery.features.shape == (3, 2, 64)  # no more than two pictures were encoded
    with pytest.raises(InputError, match="frames_dir"):
        evaluate(world, tmp_path / "out", tiny, annotations=world, features=None, frames_dir=tmp_path / "frames", no_policy=True)


@pytest.mark.parametrize(("keys", "said"), [
    ({}, "checkpoint="),
    ({"checkpoint": True, "no_policy": True}, "exclude"),
    ({"selection": "adaclip"}, "needs checkpoint"),
    ({"no_policy": True, "selection": "kmedoids"}, "leave one out"),
    ({"frame_agg": "mlp"}, "is trained"),
    ({"no_policy": True, "policy_features": "x"}, "policy_features"),
    ({"no_policy": True, "frames_dir": "x"}, "one of them"),
    ({"checkpoint": True, "policy_checkpoint": "x"}, "give both beside it"),
    ({"no_policy": True, "num_frm": 4, "top_k": 5}, "top_k=5"),
    ({"no_policy": True, "qscore_temp": 0}, "qscore_temp"),
    ({"no_policy": True, "bootstrap": -1}, "bootstrap"),
    ({"checkpoint": True, "top_k": 5}, "was trained with top_k=4"),
    ({"checkpoint": True, "num_frm": 32}, "was trained with num_frm=16"),
    ({"checkpoint": True, "frame_agg": "mean"}, "was trained with frame_agg=mlp"),
    ({"checkpoint": True, "policy_features": True}, "policy_features"),
])
def test_what_cannot_be_meant_is_refused(world, tmp_path, tiny, checkpoint, keys, said):
    real = {"checkpoint": checkpoint, "policy_features": world / "clip" / "tiny"}
    with pytest.raises(UsageError, match=said):
        evaluate(world, tmp_path, tiny, **{name: real[name] if value is True and name in real else value
                                           for name, value in keys.items()})
    assert not (tmp_path / "results.json").exists()


def test_features_of_another_model_than_the_checkpoints_are_refused(world, tmp_path, tiny, checkpoint, sample_videos):
    other = load_encoder("clip", "tiny", device="cpu", crop="squash")
    extract_features(sample_videos[0], encoder=other, extraction_total=16, on_extraction="save_numpy", output_path=tmp_path)
    (tmp_path / "test.json").write_text(json.dumps({sample_videos[0].stem: {"sentences": ["a ring"]}}))
    with pytest.raises(ConfigError, match="knows those of"):
        evaluate(world, tmp_path / "out", other, annotations=tmp_path, features=tmp_path / "clip", checkpoint=checkpoint)
    with pytest.raises(ConfigError, match="the encoder that is given"):
        evaluate(world, tmp_path / "out", tiny, annotations=tmp_path, features=tmp_path / "clip", no_policy=True)


def test_a_selector_with_eyes_of_its_own(world, tmp_path, tiny):
    raw = load_encoder("policy", "raw", device="cpu")
    extract_features(file_with_video_paths=world / "videos.csv", encoder=raw, extraction_total=16, on_extraction="save_numpy",
                     output_path=tmp_path)
    torch.manual_seed(1)
    options = AdaClipOptions(dim=64, num_frm=16, top_k=4, hidden_dim=32, mlp_hidden_dim=32, policy_backbone="raw",
                             policy_dim=raw.dim)
    model = AdaClip(options)
    save_checkpoint(tmp_path / "model.safetensors", Checkpoint(model, tiny.identity, TextRules("mean", 77), raw.identity))
    keys = {"checkpoint": tmp_path / "model.safetensors", "policy_features": tmp_path / "policy"}
    done = evaluate(world, tmp_path / "out", tiny, **keys)
    assert (lines(done)[0], done.operations.frames_encoded) == (("adaclip", "trained mlp", 4), 4)
    ids = [video.video_id for video in read_annotations(world / "test.json")]
    gallery = load_gallery(world / "clip" / "tiny", ids, 16, tmp_path / "policy")
    assert gallery.policy is not None and gallery.policy.shape == (12, 16, 3136)
    with pytest.raises(ConfigError, match="needs those of"):
        evaluate(world, tmp_path / "out", tiny, checkpoint=keys["checkpoint"])


def test_annotations_that_are_not_there_are_said_with_what_is(world, tmp_path, tiny):
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds no test.json \(train.json\)"):
        evaluate(world, tmp_path / "out", tiny, annotations=tmp_path, no_policy=True)
    shutil.copy(world / "test.json", tmp_path / "val.json")
    done = evaluate(world, tmp_path / "out", tiny, annotations=tmp_path, train_annot="gone.json", no_policy=True)
    assert done.method.metrics.gallery_size == 12


@pytest.mark.parametrize("dataset", ["msrvtt", "didemo", "activitynet"])
def test_a_preset_goes_with_a_method_without_a_checkpoint(world, tmp_path, tiny, dataset):
    preset = evaluate(world, tmp_path, tiny, dataset=dataset, test_annot="test.json", no_policy=True)
    expected = {"msrvtt": (16, 12, "indep-one"), "didemo": (32, 16, "concat"), "activitynet": (64, 32, "concat")}[dataset]
    assert (preset.num_frm, preset.method.line.frames, preset.concat_captions) == expected
    assert preset.method.line.aggregation == "mean"


def test_a_checkpoint_goes_before_a_preset(world, tmp_path, tiny, checkpoint):
    done = evaluate(world, tmp_path, tiny, dataset="didemo", checkpoint=checkpoint)
    assert (done.num_frm, done.method.line.frames, done.concat_captions) == (16, 4, "mean")
