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
from clipreel.tests.retrieval.training_world import EPOCHS


@pytest.fixture(scope="module")
def world(training_world):
    return training_world


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


def test_a_model_is_replaced_only_when_that_is_said(world, tmp_path):
    keys = world.keys(tmp_path / "run", num_epochs=1, save_last=False)
    first = train_retrieval(**keys)
    assert not (tmp_path / "run" / LAST).exists()
    with pytest.raises(ConfigError, match="holds a trained model already"):
        train_retrieval(**keys)
    second = train_retrieval(**{**keys, "overwrite": True, "seed": 9})
    assert first.losses != second.losses


# kinds of models


@pytest.mark.parametrize("change", [
    {"frame_agg": "mean"}, {"frame_agg": "transformer"}, {"frame_agg": "qscore"}, {"no_policy": True}, {"rnn": "bilstm"},
    {"no_rnn": True, "mlp_type": "fc"}, {"frame_agg": "mean", "reuse_scores": True}, {"adapter_dim": 16}, {"optim": "adamw"},
    {"warmup_epochs": 2}, {"gradient_accumulation_steps": 2}, {"concat_captions": "indep-one"},
    {"concat_captions": "indep-all"}, {"no_warmup": True, "grad_norm": -1.0}, {"top_k": 16}, {"freeze_cnn": True},
    {"num_frm": 32, "top_k": 20},  # of 16 stored frames: repeats are masked, and all that is there is taken
], ids=str)
def test_every_kind_trains(world, tmp_path, change, caplog):
    run = train_retrieval(**world.keys(tmp_path / "run", **{"num_epochs": 6, **change}))
    assert np.isfinite(run.losses).all() and (run.epochs[-1].loss < run.epochs[0].loss or "warmup_epochs" in change)
    assert load_checkpoint(run.checkpoint).epoch == run.best.epoch + 1
    if "warmup_epochs" in change:
        assert [one.k for one in run.epochs] == [15, 10, *[4] * 4]
    assert ("nothing to freeze" in caplog.text) == ("freeze_cnn" in change)


def test_without_a_policy_frames_are_uniform(world, tmp_path):
    run = train_retrieval(**world.keys(tmp_path / "run", num_epochs=1, no_policy=True))
    model = load_checkpoint(run.checkpoint).model
    assert model.selector is None
    assert model.select(torch.zeros(1, 16, 64), torch.ones(1, 16, dtype=torch.bool)).tolist() == [[0, 4, 8, 12]]
    keys = {**world.keys(tmp_path / "all", num_epochs=1, no_policy=True), "top_k": None}
    assert load_checkpoint(train_retrieval(**keys).checkpoint).options.top_k == 16


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
