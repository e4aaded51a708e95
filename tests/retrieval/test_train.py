"""Training on stored features: it learns, goes on where it stopped, chooses by validation, refuses what cannot be meant."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from clipreel.cli import main
from clipreel.errors import ConfigError, InputError, TrainingError, WeightsError
from clipreel.extract.store.load import load_features
from clipreel.models.adaclip.checkpoint import load_checkpoint, load_training_state
from clipreel.retrieval.api import train_retrieval
from clipreel.retrieval.continuation import LAST, MODEL
from clipreel.tests.retrieval.training_world import make_training_world
from safetensors.torch import load_file

EPOCHS = 12


@pytest.fixture(scope="module")
def world(training_world):
    return training_world


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    return train_retrieval(**world.keys(tmp_path_factory.mktemp("trained") / "run", num_epochs=EPOCHS))


def weights(path):
    return {name: tensor.clone() for name, tensor in load_checkpoint(path).model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# what a training leaves


def test_the_loss_falls_and_the_best_epoch_is_kept(trained):
    assert trained.epochs[-1].loss < trained.epochs[0].loss / 3
    recalls = [(one.text_to_video_recall_1, -one.text_to_video_mean_rank) for one in trained.epochs]
    assert recalls[trained.best.epoch] == max(recalls)
    assert load_checkpoint(trained.checkpoint).epoch == trained.best.epoch + 1


def test_its_choice_is_of_the_captioned_frames(trained, world):
    model = load_checkpoint(trained.checkpoint).model
    truth = json.loads((world.folder / "test.json").read_text())
    rows = [load_features(world.folder / "clip" / "tiny", name).features for name in truth]
    chosen = model.select(torch.from_numpy(np.stack(rows)).float(), torch.ones(len(rows), 16, dtype=torch.bool))
    right = np.mean([np.array(said["is_event"])[row].mean() for said, row in zip(truth.values(), chosen.numpy(), strict=True)])
    assert right > 0.6  # by chance it were 0.25


def test_logs(trained):
    with open(trained.folder / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(EPOCHS))
    assert float(rows[0]["tau"]) == 5 and float(rows[1]["tau"]) == pytest.approx(5 * np.exp(-0.045))
    with open(trained.folder / "losses.csv", newline="") as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == list(trained.losses)
    said = json.loads((trained.folder / "run.json").read_text())
    assert said["epoch_chosen_by"] == trained.chosen_by and "set apart" in trained.chosen_by
    assert said["pairs"] == trained.pairs == 36


def test_tensorboard_where_it_is_asked_for(world, tmp_path):
    pytest.importorskip("tensorboard")
    train_retrieval(**world.keys(tmp_path / "run", num_epochs=1, tensorboard_dir=tmp_path / "board"))
    assert list((tmp_path / "board").glob("events.*"))


def test_the_command_says_where_the_model_is(world, tmp_path, capsys):
    assert main(["retrieval", "train", *world.words(tmp_path / "run", num_epochs=1, n_display=2)]) == 0
    out, err = capsys.readouterr()
    assert str(tmp_path / "run" / MODEL) in out and "set apart because there is no validation list" in out
    assert "epoch 1 of 1: loss" in err and "step 1: loss" in err


# going on


def test_a_resumed_training_ends_at_the_same_weights_to_the_bit(world, trained, tmp_path):
    keys = world.keys(tmp_path / "run", num_epochs=EPOCHS)
    interrupted = Interrupted(after=3)
    with pytest.raises(KeyboardInterrupt), interrupted:
        train_retrieval(**keys)
    assert load_checkpoint(tmp_path / "run" / LAST).epoch == 3
    resumed = train_retrieval(**keys)  # the same command goes on
    assert resumed.losses == trained.losses
    for name in (MODEL, LAST):
        assert same(weights(tmp_path / "run" / name), weights(trained.folder / name))
    mine, others = (load_training_state(folder / LAST) for folder in (tmp_path / "run", trained.folder))
    assert mine is not None and others is not None and same(mine.tensors, others.tensors)
    again = train_retrieval(**keys)  # and with nothing to do it does nothing
    assert again.losses == trained.losses and again.best == resumed.best


class Interrupted:
    """Control-C in the middle of an epoch."""

    def __init__(self, after: int):
        self._after, self._epoch = after, 0

    def __enter__(self):
        from clipreel.retrieval.train import _Training

        self._patch = pytest.MonkeyPatch()
        step, epochs = _Training._step, _Training._epoch

        def counting(training, epoch, said):
            self._epoch = epoch
            return epochs(training, epoch, said)

        def interrupting(training, factor):
            if self._epoch == self._after:
                raise KeyboardInterrupt
            step(training, factor)

        self._patch.setattr(_Training, "_epoch", counting)
        self._patch.setattr(_Training, "_step", interrupting)

    def __exit__(self, *_):
        self._patch.undo()


def test_resume_names_the_file(world, trained, tmp_path):
    with pytest.raises(ConfigError, match="nothing to go on from"):
        train_retrieval(**world.keys(tmp_path / "run", num_epochs=EPOCHS, resume=trained.checkpoint))
    shutil.copytree(trained.folder, tmp_path / "moved")
    resumed = train_retrieval(**world.keys(tmp_path / "run", num_epochs=EPOCHS, resume=tmp_path / "moved" / LAST))
    assert resumed.losses == trained.losses
    with pytest.raises(WeightsError, match="there is no checkpoint"):
        train_retrieval(**world.keys(tmp_path / "run", resume=tmp_path / "none.safetensors"))


@pytest.mark.parametrize(("change", "said"), [
    ({"top_k": 5}, r"top_k=5 now, 4 there"), ({"frame_agg": "mean"}, "frame_agg=mean now, mlp there"),
    ({"num_epochs": 4}, f"num_epochs: {EPOCHS} there, 4 now"), ({"batch_size": 4}, "pairs_a_step: 8 there, 4 now"),
    ({"learning_rate": 1e-4}, "learning_rate: 0.001 there, 0.0001 now"), ({"validation_fraction": 0.2}, "validation_fraction"),
], ids=str)
def test_another_training_is_not_gone_on_with(world, trained, change, said):
    with pytest.raises(ConfigError, match=said):
        train_retrieval(**world.keys(trained.folder, **{"num_epochs": EPOCHS, **change}))


def test_another_model_s_features_are_refused(world, trained, tmp_path, small_features):
    keys = world.keys(tmp_path / "run", num_epochs=EPOCHS, features=small_features.features, texts=small_features.texts)
    with pytest.raises(ConfigError, match="was trained on features of"):
        train_retrieval(**keys, checkpoint=small_features.weights, resume=trained.folder / LAST)


def test_a_model_is_replaced_only_when_that_is_said(world, tmp_path):
    keys = world.keys(tmp_path / "run", num_epochs=1, save_last=False)
    first = train_retrieval(**keys)
    assert not (tmp_path / "run" / LAST).exists()
    with pytest.raises(ConfigError, match="holds a trained model already"):
        train_retrieval(**keys)
    second = train_retrieval(**{**keys, "overwrite": True, "seed": 9})
    assert first.losses != second.losses


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


# kinds of models


@pytest.mark.parametrize("change", [
    {"frame_agg": "mean"}, {"frame_agg": "transformer"}, {"frame_agg": "qscore"}, {"no_policy": True}, {"rnn": "bilstm"},
    {"no_rnn": True, "mlp_type": "fc"}, {"frame_agg": "mean", "reuse_scores": True}, {"adapter_dim": 16}, {"optim": "adamw"},
    {"warmup_epochs": 2}, {"gradient_accumulation_steps": 2}, {"concat_captions": "indep-one"},
    {"concat_captions": "indep-all"}, {"no_warmup": True, "grad_norm": -1.0}, {"top_k": 16}, {"freeze_cnn": True},
    {"num_frm": 32, "top_k": 20},  # of 16 stored frames: repeats are masked, and all that is there is taken
], ids=str)
def test_every_kind_trains(world, tmp_path, change, caplog):
    run = train_retrieval(**world.keys(tmp_path / "run", **{"num_epochs": 8, **change}))
    assert np.isfinite(run.losses).all() and (run.epochs[-1].loss < run.epochs[0].loss or "warmup_epochs" in change)
    assert load_checkpoint(run.checkpoint).epoch == run.best.epoch + 1
    if "warmup_epochs" in change:
        assert [one.k for one in run.epochs] == [15, 10, *[4] * 6]
    assert ("nothing to freeze" in caplog.text) == ("freeze_cnn" in change)


def test_without_a_policy_frames_are_uniform(world, tmp_path):
    run = train_retrieval(**world.keys(tmp_path / "run", num_epochs=1, no_policy=True))
    model = load_checkpoint(run.checkpoint).model
    assert model.selector is None
    assert model.select(torch.zeros(1, 16, 64), torch.ones(1, 16, dtype=torch.bool)).tolist() == [[0, 4, 8, 12]]
    keys = {**world.keys(tmp_path / "all", num_epochs=1, no_policy=True), "top_k": None}
    assert load_checkpoint(train_retrieval(**keys).checkpoint).options.top_k == 16


def test_nothing_left_to_train_is_said(world, tmp_path):
    with pytest.raises(ConfigError, match="nothing is left to train"):
        train_retrieval(**world.keys(tmp_path / "run", no_policy=True, frame_agg="mean"))


# the videos


def test_missing_videos_are_counted(world, tmp_path, caplog):
    features = tmp_path / "features"
    shutil.copytree(world.folder / "clip" / "tiny", features)
    for path in features.glob("event0000[0-4]*"):
        path.unlink()
    run = train_retrieval(**world.keys(tmp_path / "run", num_epochs=1, features=features, validation_fraction=0))
    assert run.missing == 5 and run.pairs == 35 and "5 of 40 videos have no stored features" in caplog.text
    assert run.best.epoch == 0 and "the last epoch is kept" in run.chosen_by


def annotations(world, folder, **parts):
    """train.json and others, each by the places of its videos."""
    folder.mkdir()
    everything = {**json.loads((world.folder / "train.json").read_text()), **json.loads((world.folder / "test.json").read_text())}
    names = list(everything)
    for part, places in parts.items():
        (folder / f"{part}.json").write_text(json.dumps({names[place]: everything[names[place]] for place in places}))
    return folder


def test_the_epoch_is_chosen_by_the_validation_list_but_never_by_the_test(world, tmp_path):
    own = annotations(world, tmp_path / "own", train=range(40), val=range(40, 45), test=range(45, 52))
    run = train_retrieval(**world.keys(tmp_path / "a", num_epochs=1, annotations=own))
    assert run.pairs == 40 and run.chosen_by == f"{own / 'val.json'}, 5 videos"
    shared = annotations(world, tmp_path / "shared", train=range(40), val=range(40, 52))
    run = train_retrieval(**world.keys(tmp_path / "b", num_epochs=1, annotations=shared, val_annot="val.json",
                                       test_annot="val.json"))
    assert run.pairs == 36 and "holds videos of the test, by which no epoch may be chosen" in run.chosen_by
    mixed = annotations(world, tmp_path / "mixed", train=range(40), test=range(39, 52))
    with pytest.raises(InputError, match="what is tested must not be trained on"):
        train_retrieval(**world.keys(tmp_path / "c", annotations=mixed))
    mixed = annotations(world, tmp_path / "mixed2", train=range(40), val=range(39, 52))
    with pytest.raises(InputError, match="share 1 videos"):
        train_retrieval(**world.keys(tmp_path / "c", annotations=mixed))


def test_one_file_is_enough(world, tmp_path):
    run = train_retrieval(**world.keys(tmp_path / "run", num_epochs=1, annotations=world.folder / "train.json"))
    assert run.pairs == 36
    with pytest.raises(InputError, match=r"there is no train\.json"):
        train_retrieval(**world.keys(tmp_path / "x", annotations=world.folder / "texts"))
    with pytest.raises(InputError, match="cannot be read"):
        train_retrieval(**world.keys(tmp_path / "x", annotations=tmp_path / "none"))


def test_batches_larger_than_the_world_are_refused(world, tmp_path):
    with pytest.raises(ConfigError, match=r"batch_size=64: 1 process and .* want 64 pairs"):
        train_retrieval(**world.keys(tmp_path / "run", batch_size=64))


def test_features_that_are_no_numbers_stop_the_training(world, tmp_path):
    features = tmp_path / "features"
    shutil.copytree(world.folder / "clip" / "tiny", features)
    from clipreel.extract.store.store import FeatureStore

    store = FeatureStore(features, "save_numpy")
    for key in store.keys()[:30]:
        broken = store.read(key)
        broken.features[:] = np.nan
        store.write(key, broken)
    with pytest.raises(TrainingError, match="the loss is nan at step"):
        train_retrieval(**world.keys(tmp_path / "run", features=features))


# the text tower


@pytest.fixture(scope="module")
def small_features(tmp_path_factory, tiny):
    """Features of a small random CLIP whose text tower is quick, and where its weights are."""
    from dataclasses import dataclass, replace
    from pathlib import Path

    from clipreel import load_encoder
    from clipreel.tests.models.conftest import SMALL_VIT, random_clip
    from safetensors.torch import save_file

    @dataclass(frozen=True)
    class Small:
        weights: Path
        features: Path
        texts: Path

    folder = tmp_path_factory.mktemp("small_world")
    state = random_clip(replace(SMALL_VIT, text_layers=5, embed_dim=64))
    save_file(state, folder / "small.safetensors")
    encoder = load_encoder("clip", "custom", checkpoint=str(folder / "small.safetensors"), device="cpu")
    make_training_world(folder, encoder)
    return Small(folder / "small.safetensors", folder / "clip" / "custom", folder)


@pytest.mark.parametrize("change", [{}, {"word_agg": "mlp", "frame_agg": "mean"}, {"word_agg": "transformer", "frame_agg": "mean"}],
                         ids=str)
def test_the_text_tower_trains_while_the_features_stay(world, small_features, tmp_path, change):
    from clipreel.retrieval.text_tower import queries_encoder

    keys = world.keys(tmp_path / "run", features=small_features.features, texts=small_features.texts, freeze_clip=False,
                      checkpoint=small_features.weights, concat_captions="concat", max_txt_len=20, num_epochs=3, coef_lr=1.0,
                      **{"frame_agg": "mlp", **change})
    run = train_retrieval(**keys)
    assert run.epochs[-1].loss < run.epochs[0].loss
    trained = load_checkpoint(run.checkpoint)
    assert {"text_projection", "positional_embedding", "token_embedding.weight"} <= set(trained.clip_state)
    identity, load = queries_encoder(trained, str(small_features.weights), "cpu")
    assert identity.weights_sha256 == trained.fingerprint
    tuned, plain = load().encode_text(["a red circle"]), queries_encoder_of_before(small_features).encode_text(["a red circle"])
    assert torch.nn.functional.cosine_similarity(tuned, plain)[0] < 0.9999
    assert tuned.shape == (1, 64) and float(tuned.norm()) == pytest.approx(1, abs=1e-5)
    assert train_retrieval(**keys).losses == run.losses  # read back, nothing left to do


def queries_encoder_of_before(small_features):
    from clipreel import load_encoder

    return load_encoder("clip", "custom", checkpoint=str(small_features.weights), device="cpu")


def test_a_tower_that_was_not_changed_encodes_as_its_clip(small_features):
    from clipreel.models.adaclip.text_tower import TextTower, TunedTextEncoder

    encoder = queries_encoder_of_before(small_features)
    texts = ["a red circle", "a small blue ring on the left and something more that is long", "x"]
    ours = TunedTextEncoder(TextTower(encoder), None, 100.0, 77).encode_text(texts)
    theirs = torch.nn.functional.normalize(encoder.encode_text(texts), dim=-1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sim_header", ["seqTransf", "transformer"])
def test_a_temporal_head_begins_as_the_clips_layers(world, small_features, tmp_path, sim_header):
    run = train_retrieval(**world.keys(tmp_path / "run", features=small_features.features, texts=small_features.texts,
                                       checkpoint=small_features.weights, sim_header=sim_header, learning_rate=1e-12, num_epochs=1))
    state = load_file(small_features.weights)
    head = load_checkpoint(run.checkpoint).model.state_dict()
    layer = 0 if sim_header == "seqTransf" else 4
    torch.testing.assert_close(head["head.blocks.0.mlp.c_fc.weight"], state[f"transformer.resblocks.{layer}.mlp.c_fc.weight"])
    with pytest.raises(ConfigError, match="as many layers"):  # the demonstration model's text tower has three
        train_retrieval(**world.keys(tmp_path / "tiny", sim_header=sim_header))


# the command line and the presets


@pytest.mark.parametrize(("words", "said"), [
    (["features=x"], "needs annotations="), (["annotations=x"], "needs features="),
    (["features=x", "annotations=x", "word_agg=mlp"], "needs the state of every word"),
    (["features=x", "annotations=x", "freeze_clip=false", "concat_captions=mean"], "averages stored text features"),
    (["features=x", "annotations=x", "policy_backbone=raw"], "policy_features=None"),
    (["features=x", "annotations=x", "no_rnn=true", "rnn=lstm"], "contradict"),
    (["features=x", "annotations=x", "do_inference=true"], "needs resume="),
    (["features=x", "annotations=x", "preset=msrvtt-jsfusio"], "did you mean 'msrvtt-jsfusion'"),
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
