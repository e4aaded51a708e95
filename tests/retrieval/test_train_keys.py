"""The keys of training: presets, the original's words, do_inference, and what cannot be meant."""

import json

import pytest
from clipreel.cli import main
from clipreel.errors import ConfigError
from clipreel.retrieval.api import train_retrieval


@pytest.fixture(scope="module")
def world(training_world):
    return training_world


def test_do_inference_evaluates_the_checkpoint(world, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [f"features={world.folder / 'clip' / 'tiny'}", f"annotations={world.folder}", f"texts={world.folder}", "device=cpu"]
    assert main(["retrieval", "train", "do_inference=true", f"resume={trained.checkpoint}", *given, "output_path=here"]) == 0
    assert (tmp_path / "here" / "results.json").is_file()
    inference = capsys.readouterr().out
    assert main(["retrieval", "evaluate", f"checkpoint={trained.checkpoint}", *given, "output_path=same"]) == 0
    method = [[line for line in text.splitlines() if line.startswith("> ")] for text in (inference, capsys.readouterr().out)]
    assert method[0] == method[1] and "adaclip, trained mlp" in method[0][0]
    assert main(["retrieval", "train", "do_inference=true", f"resume={trained.checkpoint}", *given, "frame_agg=mean"]) == 2
    assert "frame_agg=mean now, mlp there" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="trains nothing"):
        train_retrieval(do_inference=True, resume=trained.checkpoint, features="x", annotations="y")


@pytest.mark.parametrize("word", [
    "num_frm=32", "rnn=lstm", "no_rnn=true", "sim_header=seqTransf", "adapter_dim=8", "no_policy=true", "policy_backbone=raw",
    "mlp_type=fc", "top_k=5", "frame_agg=mean", "frame_agg=mlp frame_agg_temp=2"])
def test_do_inference_with_another_model_s_options_is_refused(trained, word, tmp_path, capsys):
    words = ["do_inference=true", f"resume={trained.checkpoint}", "annotations=x", "features=x", f"output_path={tmp_path}"]
    assert main(["retrieval", "train", *words, *word.split()]) == 2
    assert "was trained with other options" in capsys.readouterr().err


def test_do_inference_asks_as_it_is_told(world, trained, tmp_path):
    from clipreel.configs.retrieval_train_schema import RetrievalTrainConfig
    from clipreel.retrieval.command_train import evaluation_of

    keys = {"features": "x", "annotations": "y", "do_inference": True, "resume": str(trained.checkpoint)}
    asked = evaluation_of(RetrievalTrainConfig(**keys, concat_captions="indep-all", max_txt_len=20))
    assert (asked.concat_captions, asked.max_txt_len, asked.checkpoint) == ("indep-all", 20, str(trained.checkpoint))
    asked = evaluation_of(RetrievalTrainConfig(**keys, hidden_dim=32, mlp_hidden_dim=32, top_k=4, frame_agg="mlp"))
    assert asked.concat_captions is None and asked.max_txt_len is None  # the checkpoint's


def test_nothing_left_to_train_is_said(world, tmp_path):
    with pytest.raises(ConfigError, match="nothing is left to train"):
        train_retrieval(**world.keys(tmp_path / "run", no_policy=True, frame_agg="mean"))


def test_batches_larger_than_the_world_are_refused(world, tmp_path):
    with pytest.raises(ConfigError, match=r"batch_size=64: 1 process and .* want 64 pairs"):
        train_retrieval(**world.keys(tmp_path / "run", batch_size=64))


@pytest.mark.parametrize(("words", "said"), [
    (["features=x"], "needs annotations="), (["annotations=x"], "needs features="),
    (["features=x", "annotations=x", "word_agg=mlp"], "needs the state of every word"),
    (["features=x", "annotations=x", "freeze_clip=false", "concat_captions=mean"], "averages stored text features"),
    (["features=x", "annotations=x", "policy_backbone=raw"], "policy_features=None"),
    (["features=x", "annotations=x", "no_rnn=true", "rnn=lstm"], "contradict"),
    (["features=x", "annotations=x", "do_inference=true"], "needs resume="),
    (["features=x", "annotations=x", "preset=msrvtt-jsfusio"], "did you mean 'msrvtt-jsfusion'"),
    (["--config", "configs/msrvtt-jsfusion.json", "--freeze_cnn"], "preset=msrvtt-jsfusion is clipreel's own"),
    (["features=x", "annotations=x", "betas=[0.9]"], "betas"), (["features=x", "annotations=x", "max_txt_len=78"], "from 3 to 77"),
    (["features=x", "annotations=x", "top_kk=3"], "did you mean 'top_k'"),
    (["features=x", "annotations=x", "num_frm=4"], "annotations=x/train.json: cannot be read"),
    (["features=x", "annotations=x", "sampling=random"], "sampling=random is about the pictures of frames_dir="),
    (["features=x", "annotations=x", "rescale_size=64"], "rescale_size=64 is about the pictures"),
    (["features=x", "annotations=x", "freeze_layer_num=3"], "freeze_layer_num=3 is about the pictures"),
    (["features=x", "annotations=x", "policy_checkpoint=x"], "policy_checkpoint=x is about the pictures"),
    (["features=x", "annotations=x", "no_policy=true", "policy_backbone=raw", "policy_features=x"], "no_policy=true has none"),
    (["features=x", "annotations=x", "no_policy=true", "rnn=lstm"], "rnn=lstm is about the selector"),
    (["features=x", "annotations=x", "no_policy=true", "warmup_epochs=3"], "warmup_epochs=3 is about the selector"),
    (["features=x", "annotations=x", "frame_agg_temp=2"], "frame_agg=mean has none"),
    (["features=x", "annotations=x", "word_agg_temp=2"], "word_agg=none has none"),
    (["features=x", "annotations=x", "no_warmup=true", "warmup_proportion=0.2"], "no_warmup=true leaves it out"),
    (["frames_dir=x", "annotations=x", "freeze_clip=true", "freeze_layer_num=3"], "it is frozen here"),
    (["frames_dir=x", "annotations=x", "rescale_size=64", "policy_backbone=resnet50"], "it is resnet50 here"),
])
def test_what_cannot_be_meant_is_refused(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["retrieval", "train", *words]) == 2
    assert said in capsys.readouterr().err


def test_presets_come_by_name_by_dataset_and_from_the_original_s_json(tmp_path):
    from clipreel.configs.load import load_config
    from clipreel.configs.presets import preset_files
    from clipreel.configs.retrieval_train_schema import RetrievalTrainConfig

    def load(**given):
        return load_config(RetrievalTrainConfig, {"features": "x", **given}, shipped=("retrieval", *preset_files(given)))

    published = {"msrvtt-jsfusion": ("msrvtt", 16, 12, 32, 64, 30, "indep-one", "val.json"),
                 "didemo": ("didemo", 32, 16, 64, 32, 5, "concat", "test.json"),
                 "activitynet": ("activitynet", 64, 32, 64, 16, 30, "concat", "val.json")}
    for preset, figures in published.items():
        for config in (load(preset=preset), load(dataset=figures[0])):
            assert (config.dataset, config.num_frm, config.top_k, config.max_txt_len, config.batch_size, config.num_epochs,
                    config.concat_captions, config.test_annot) == figures
            assert config.frame_agg == "mlp"
    assert load(dataset="didemo", top_k="5").top_k == 5
    original = tmp_path / "msrvtt-jsfusion.json"
    original.write_text(json.dumps({
        "dataset": "msrvtt", "train_annot": "annots/train.json", "val_annot": "annots/val.json", "test_annot": "annots/val.json",
        "frames_dir": "/raid/msrvtt/frames", "concat_captions": "indep-one", "max_txt_len": 32, "num_frm": 16, "batch_size": 64}))
    config = load(config=str(original), top_k="12")
    assert config.train_annot == "annots/train.json" and config.batch_size == 64 and not config.from_frames
    with_frames = load_config(RetrievalTrainConfig, {"config": str(original)}, shipped=())
    assert with_frames.from_frames and not with_frames.clip_is_frozen
