"""Answering from the user's side: files, accuracy on unseen seeds, what is decoded and encoded, what is missing or broken."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from clipreel import answer_questions, extract_features
from clipreel.errors import ConfigError, InputError, StoreConflictError, StoredDataError
from clipreel.extract.decode.pyav import PyavReader
from clipreel.tests.viclip_small import write_small
from clipreel.videoqa.ablation import table


class Counting:
    """An encoder that counts the frames and texts it is given."""

    def __init__(self, encoder):
        self._encoder, self.frames, self.texts = encoder, 0, []

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode(self, frames):
        self.frames += len(frames)
        return self._encoder.encode(frames)

    def encode_text(self, texts):
        self.texts += texts
        return self._encoder.encode_text(texts)

    def fits(self, text):
        return self._encoder.fits(text)


def read(folder, name):
    return json.loads((Path(folder) / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_unseen_videos_are_answered(drawn, tiny, tmp_path_factory, pooling):
    """210 questions of seeds that no training saw: 70 % at least, against 25 % of chance."""
    folder = tmp_path_factory.getbasetemp() / "unseen"
    run = answer_questions(drawn.dataset, video_root=drawn.folder, encoder=tiny, output_path=folder, pooling=pooling)
    assert len(run.answers) >= 200
    assert (run.accuracy or 0) >= 70
    assert run.exit_code == 0


def test_frames_are_decoded_once_a_video_and_texts_encoded_once(few, tiny, tmp_path, monkeypatch):
    decoded = []
    plain = PyavReader.frames

    def counted(self, index, wanted, **keys):
        decoded.append((index.path.name, len(wanted)))
        return plain(self, index, wanted, **keys)

    monkeypatch.setattr(PyavReader, "frames", counted)
    encoder: Any = Counting(tiny)
    answer_questions(few.dataset, video_root=few.folder, encoder=encoder, output_path=tmp_path, workers=1)
    assert {name for name, _ in decoded} == {f"drawn{seed}.mp4" for seed in range(710_000, 710_004)}
    assert sum(count for _, count in decoded) == encoder.frames == 4 * 8
    options = {option[3:] for row in few.rows for option in row.options}
    assert sorted(encoder.texts) == sorted(options)
    again: Any = Counting(tiny)
    answer_questions(few.dataset, video_root=few.folder, encoder=again, output_path=tmp_path, pooling="max", ablation=True)
    assert (again.frames, again.texts) == (0, [])
    assert sum(count for _, count in decoded) == 32


def test_the_three_files(answered_few, few):
    flat, grouped, said = (read(answered_few.folder, name)
                           for name in ("viclip_predictions.json", "viclip_output_test.json", "run.json"))
    assert [one["question_id"] for one in flat] == [row.question_id for row in few.rows]
    for one, row in zip(flat, few.rows, strict=True):
        assert (one["video_id"], one["video_number"], one["answer"]) == (row.videoID, row.video_id, row.answer)
        assert one["response"] == row.options["ABCD".index(one["prediction"])]
        assert len(one["scores"]) == len(one["probabilities"]) == 4
        assert one["scores"]["ABCD".index(one["prediction"])] == max(one["scores"])
        assert sum(one["probabilities"]) == pytest.approx(1)
        assert one["margin"] == pytest.approx(sorted(one["scores"])[-1] - sorted(one["scores"])[-2])
        assert (one["status"], one["cut"]) == ("answered", False)
    assert [video["video_id"] for video in grouped] == ["001", "002", "003", "004"]
    for video in grouped:
        assert video["missing"] is False
        assert {"video_id", "duration", "domain", "sub_category", "questions"} <= video.keys()
        for question in video["questions"]:
            assert {"question_id", "task_type", "question", "options", "answer", "response"} <= question.keys()
    assert said["coverage"]["videos_answered"] == 4
    assert said["recipe"]["pooling"] == "mean"
    assert len(said["weights_sha256"]) == 64
    assert {"dataset", "features", "texts", "scores", "write"} <= said["seconds"].keys()
    assert {"clipreel", "torch", "python", "numpy"} == said["versions"].keys()


def test_frames_of_the_other_layout(few_frames, tiny, tmp_path):
    for root in (few_frames.folder, few_frames.folder / "output"):
        run = answer_questions(few_frames.dataset, video_root=root, encoder=tiny, output_path=tmp_path, subtitle_weight=0.5)
        assert (run.accuracy or 0) >= 70
    assert run.run["features"]["fps"] == 1
    assert run.run["features"]["reader"] == "images"
    assert run.run["coverage"]["features_made"] == 0  # of the second


def test_subtitles_are_a_late_term(few, tiny, stored):
    plain = answer_questions(few.dataset, video_root=few.folder, encoder=tiny, output_path=stored)
    said = answer_questions(few.dataset, video_root=few.folder, encoder=tiny, output_path=stored, subtitle_weight=10)
    assert [one.scores for one in said.answers] != [one.scores for one in plain.answers]
    assert (said.accuracy or 0) >= 70  # the subtitles tell what is shown
    assert said.run["texts"]["distinct"] > plain.run["texts"]["distinct"]


def test_missing_and_broken_videos_are_rows(few, tiny, tmp_path, caplog):
    shutil.copytree(few.folder / "data", tmp_path / "data")
    (tmp_path / "data" / "drawn710001.mp4").unlink()
    (tmp_path / "data" / "drawn710002.mp4").write_bytes(b"no video")
    run = answer_questions(few.dataset, video_root=tmp_path, encoder=tiny, output_path=tmp_path / "out")
    assert run.exit_code == 1
    statuses = [one.status for one in run.answers]
    assert statuses == ["answered"] * 3 + ["missing"] * 3 + ["failed"] * 3 + ["answered"] * 3
    grouped = read(run.folder, "viclip_output_test.json")
    assert [video["missing"] for video in grouped] == [False, True, True, False]
    assert grouped[1]["questions"][0]["response"] == ""
    reasons = read(run.folder, "run.json")["coverage"]["reasons"]
    assert "drawn710001" in reasons["drawn710001"] and "drawn710002.mp4" in reasons["drawn710002"]


def test_features_that_are_not_finite(few, tiny, tmp_path):
    class Overflowing(Counting):
        def encode(self, frames):
            return super().encode(frames) * float("inf")

    encoder: Any = Overflowing(tiny)
    run = answer_questions(few.dataset, video_root=few.folder, encoder=encoder, output_path=tmp_path)
    assert {one.status for one in run.answers} == {"failed"}
    assert "not finite" in str(run.videos[0].reason)
    assert run.accuracy == 0


def test_no_video_at_all(few, tiny, tmp_path):
    with pytest.raises(InputError, match="has none of the 4 videos"):
        answer_questions(few.dataset, video_root=tmp_path, encoder=tiny, output_path=tmp_path / "out")


# stored features


def test_stored_features_bring_their_model(few, answered_few, stored, tmp_path):
    run = answer_questions(few.dataset, features=stored / "features", output_path=tmp_path, device="cpu")
    assert [one.letter for one in run.answers] == [one.letter for one in answered_few.answers]
    assert run.run["features"]["model_name"] == "tiny"


def test_stored_features_and_texts_need_no_model(few, stored, monkeypatch):
    monkeypatch.setattr("clipreel.extract.stored.load_encoder", lambda *_, **__: pytest.fail("loaded"))
    run = answer_questions(few.dataset, features=stored / "features", output_path=stored, device="cpu", ablation=True)
    assert (run.accuracy or 0) >= 70
    lines = table(run.ablation).splitlines()
    assert lines[1].startswith("this run")
    assert any(line.startswith("pooling=max") for line in lines)
    assert any("not encoded yet" in line for line in lines)
    assert read(stored, "ablation.json")[0]["accuracy"] == pytest.approx(run.accuracy)


def test_features_of_plain_extraction(few, tiny, tmp_path):
    extract_features(few.folder / "data", encoder=tiny, extraction_fps=4, on_extraction="save_numpy", output_path=tmp_path / "f")
    run = answer_questions(few.dataset, features=tmp_path / "f", output_path=tmp_path / "out", device="cpu")
    assert (run.accuracy or 0) >= 70


def test_features_of_two_models_or_of_none(few, tiny, stored, tmp_path):
    with pytest.raises(StoredDataError, match="no such folder"):
        answer_questions(few.dataset, features=tmp_path / "none", output_path=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoredDataError, match="holds no stored features"):
        answer_questions(few.dataset, features=tmp_path / "empty", output_path=tmp_path)
    (video,) = (few.folder / "data").glob("*0.mp4")
    extract_features(video, model_name="tiny", crop="pad", device="cpu", extraction_fps=1, on_extraction="save_hdf5",
                     output_path=stored / "features" / "other")
    with pytest.raises(StoredDataError, match="several models"):
        answer_questions(few.dataset, features=stored / "features", output_path=tmp_path)


def test_other_settings_are_not_mixed_in(few, tiny, stored):
    with pytest.raises(StoreConflictError, match="extraction_total"):
        answer_questions(few.dataset, video_root=few.folder, encoder=tiny, output_path=stored, extraction_total=4)
    run = answer_questions(few.dataset, video_root=few.folder, encoder=tiny, output_path=stored, extraction_total=4, overwrite=True)
    assert run.run["coverage"]["features_made"] == 4


# ties, windows, keys


def test_ties_are_said(few, tiny, tmp_path):
    rows = [{"video_id": "001", "duration": "short", "domain": "d", "sub_category": "s", "videoID": "drawn710000",
             "question_id": "1", "task_type": "t", "question": "?", "options": ["A. a ring", "B. a ring"], "answer": "B"}]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    run = answer_questions(tmp_path / "q.json", video_root=few.folder, encoder=tiny, output_path=tmp_path / "out")
    assert (run.answers[0].status, run.answers[0].letter, run.run["coverage"]["tied"]) == ("tied", "A", 1)


def test_viclip_with_and_without_windows(few, few_frames, tmp_path):
    keys = {"video_root": few.folder, "model_name": "custom", "checkpoint": write_small(tmp_path / "small.pth"), "device": "cpu"}
    whole = answer_questions(few.dataset, output_path=tmp_path / "a", **keys)  # viclip is the default
    assert whole.run["features"]["feature_type"] == "viclip"
    keys_of_frames = keys | {"video_root": few_frames.folder, "recipe": "demo"}
    frames = answer_questions(few_frames.dataset, output_path=tmp_path / "c", **keys_of_frames)
    assert {one.status for one in frames.answers} == {"answered"}
    windows = answer_questions(few.dataset, output_path=tmp_path / "b", window_seconds=0.5, pooling="max", text="question_option",
                               **keys)
    assert windows.run["features"]["window_seconds"] == 0.5
    assert {one.status for one in windows.answers} == {"answered"}
    again = answer_questions(few.dataset, output_path=tmp_path / "b", features=tmp_path / "b" / "features", device="cpu",
                             text="question_option", pooling="max")
    assert [one.letter for one in again.answers] == [one.letter for one in windows.answers]


@pytest.mark.parametrize(("keys", "said"), [
    ({}, "video_root="), ({"video_root": ".", "subtitle_weight": -1}, "subtitle_weight=-1"),
    ({"video_root": ".", "pooling": "sum"}, "pooling=sum"),
    ({"features": "x", "subtitle_weight": 1}, "video_root="), ({"features": "x", "extraction_fps": 1}, "extraction_fps"),
    ({"features": "x", "overwrite": True}, "overwrite"), ({"video_root": ".", "texts": 1}, "no key 'texts'"),
])
def test_wrong_keys(few, keys, said):
    with pytest.raises(ConfigError, match=said):
        answer_questions(few.dataset, **keys)


def test_an_encoder_that_is_given_settles_its_keys(few, tiny):
    with pytest.raises(ConfigError, match="model_name"):
        answer_questions(few.dataset, encoder=tiny, model_name="tiny", video_root=".")
