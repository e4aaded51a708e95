"""Training the text tower beside stored features, and heads that begin as its layers."""


import pytest
import torch
from clipreel.errors import ConfigError
from clipreel.models.adaclip.checkpoint import load_checkpoint
from clipreel.retrieval.api import train_retrieval
from clipreel.retrieval.continuation import LAST
from clipreel.tests.retrieval.training_world import EPOCHS, make_training_world
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def world(training_world):
    return training_world


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


def test_another_model_s_features_are_refused(world, trained, tmp_path, small_features):
    keys = world.keys(tmp_path / "run", num_epochs=EPOCHS, features=small_features.features, texts=small_features.texts)
    with pytest.raises(ConfigError, match="was trained on features of"):
        train_retrieval(**keys, checkpoint=small_features.weights, resume=trained.folder / LAST)


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
