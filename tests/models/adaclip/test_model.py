"""The networks: sizes as published, what aggregations are, ragged videos, order of frames, options that go together."""

import dataclasses

import pytest
import torch
from clipreel.errors import ConfigError
from clipreel.models.adaclip.aggregators import AGGREGATORS, MlpScore, QScore, unit
from clipreel.models.adaclip.heads import TemporalHead, WordAggregator
from clipreel.models.adaclip.model import AdaClip
from clipreel.models.adaclip.options import AdaClipOptions
from clipreel.models.adaclip.selector import SEQUENCE_MODELS, Selector

DIM, FRAMES = 32, 8
SMALL = AdaClipOptions(dim=DIM, num_frm=FRAMES, top_k=3, hidden_dim=24, mlp_hidden_dim=16)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(11)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def videos(batch=5):
    features, mask = torch.randn(batch, FRAMES, DIM), torch.rand(batch, FRAMES) < 0.7
    mask[:, 0] = True
    mask[-1] = False
    return features, mask


def test_parameter_counts_as_published():
    selector = Selector(1280, num_frm=16)
    assert count(selector) == 655_872 + 8_192 + 3_152_384 + 526_337
    assert count(AGGREGATORS["mlp"](512, 1.0)) == 1_050_625
    assert count(AGGREGATORS["transformer"](512, 1.0)) == 3_152_384 + 513
    assert count(AGGREGATORS["mean"](512, 1.0)) == count(AGGREGATORS["qscore"](512, 1.0)) == 0


@pytest.mark.parametrize("rnn", SEQUENCE_MODELS)
@pytest.mark.parametrize("mlp_type", ["mlp", "fc"])
def test_masked_frames_change_no_score_of_the_others(rnn, mlp_type):
    selector = Selector(DIM, num_frm=FRAMES, rnn=rnn, hidden_dim=24, mlp_type=mlp_type, mlp_hidden_dim=16)
    features, mask = videos()
    logits = selector(features, mask)
    assert logits.shape == mask.shape and torch.isfinite(logits).all()
    disturbed = torch.where(mask[..., None], features, torch.randn_like(features) * 100)
    torch.testing.assert_close(selector(disturbed, mask)[mask], logits[mask])
    torch.testing.assert_close(selector(features, torch.ones_like(mask)), selector(features))


def test_the_recurrent_ones_step_over_masked_frames():
    for rnn in ("lstm", "bilstm"):
        selector = Selector(DIM, num_frm=FRAMES, rnn=rnn, hidden_dim=24)
        features, mask = torch.randn(1, FRAMES, DIM), torch.tensor([[True, False, True, True, False, False, True, False]])
        torch.testing.assert_close(selector(features, mask)[mask], selector(features[:, mask[0]])[0])


def test_the_mean_is_mlp_score_without_opinions():
    frames, mask = unit(torch.randn(6, 4, DIM)), torch.rand(6, 4) < 0.6
    mask[:, 0] = True
    score = MlpScore(DIM, 1.0)
    torch.nn.init.zeros_(score.layer_3.weight)
    torch.testing.assert_close(score(frames, mask), AGGREGATORS["mean"](DIM, 1.0)(frames, mask))


def test_mlp_score_by_hand():
    frames, mask = torch.randn(1, 3, DIM), torch.ones(1, 3, dtype=torch.bool)
    score = MlpScore(DIM, 0.5)

    def gelu(x):
        return x * torch.sigmoid(1.702 * x)

    scores = []
    for frame in frames[0]:
        hidden = gelu(score.layer_1.weight @ frame + score.layer_1.bias)
        hidden = gelu(score.layer_2.weight @ hidden + score.layer_2.bias)
        scores.append(score.layer_3.weight @ hidden + score.layer_3.bias)
    weights = torch.softmax(torch.cat(scores) / 0.5, dim=0)
    torch.testing.assert_close(score(frames, mask)[0], weights @ frames[0])


def test_q_score_by_hand():
    frames, mask, texts = torch.randn(3, 4, DIM) * 3, torch.rand(3, 4) < 0.7, unit(torch.randn(2, DIM))
    mask[:, 1], mask[2] = True, False
    found = QScore(DIM, 0.1).similarity(texts, frames * mask[..., None], mask)
    for query in range(2):
        for video in range(2):
            kept = frames[video][mask[video]]
            weights = torch.softmax(unit(kept) @ texts[query] / 0.1, dim=0)
            torch.testing.assert_close(found[query, video], texts[query] @ unit(weights @ kept))
    assert (found[:, 2] == 0).all()


@pytest.mark.parametrize("change", [
    {}, {"frame_agg": "mean"}, {"frame_agg": "transformer"}, {"frame_agg": "qscore"}, {"no_policy": True}, {"rnn": "none"},
    {"rnn": "lstm"}, {"sim_header": "seqTransf"}, {"sim_header": "transformer"}, {"adapter_dim": 8},
    {"frame_agg": "mean", "reuse_scores": True}, {"frame_agg": "mean", "reuse_scores": True, "sim_header": "seqTransf"},
    {"policy_backbone": "raw", "policy_dim": 7}, {"mlp_type": "fc"}, {"top_k": FRAMES},
], ids=str)
def test_every_kind_of_model_compares_and_learns(change):
    options = dataclasses.replace(SMALL, **change)
    model, (features, mask) = AdaClip(options), videos()
    policy = torch.randn(5, FRAMES, 7) if options.policy_dim else None
    texts = torch.randn(4, DIM)
    similarity = model.similarity(texts, features, mask, policy)
    assert similarity.shape == (4, 5) and torch.isneginf(similarity[:, -1]).all() and torch.isfinite(similarity[:, :-1]).all()
    assert similarity[:, :-1].abs().max() <= 1 + 1e-5
    if options.query_dependent:
        with pytest.raises(ValueError, match="no vector of its own"):
            model.encode_videos(features, mask)
    else:
        vectors = model.encode_videos(features, mask, policy)
        torch.testing.assert_close(vectors.norm(dim=-1), torch.tensor([1.0, 1, 1, 1, 0]))
        torch.testing.assert_close(model.encode_texts(texts) @ vectors[:-1].T, similarity[:, :-1])
    torch.testing.assert_close(model.encode_texts(texts).norm(dim=-1), torch.ones(4))
    drawn = model.draw(features, mask, policy, tau=1.0)
    model.compare(model.encode_texts(texts), drawn).square().sum().backward()
    untouched = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert untouched == {"logit_scale"}
    if options.top_k < FRAMES and model.selector is not None:
        gradients = [parameter.grad for parameter in model.selector.parameters() if parameter.grad is not None]
        assert max(float(gradient.abs().max()) for gradient in gradients) > 0


def test_chosen_frames_are_in_time_order_and_those_that_selecting_names():
    model, (features, mask) = AdaClip(SMALL), videos(50)
    chosen = model.choose(features, mask)
    assert torch.equal(chosen.indices, model.select(features, mask))
    for indices, frames, video in zip(chosen.indices, chosen.frames, features, strict=True):
        there = indices[indices >= 0]
        assert torch.equal(there, there.sort().values)
        assert torch.equal(frames[:len(there)], video[there])
    drawn = model.draw(features, mask, tau=0.5)
    there = drawn.indices >= 0
    assert (drawn.indices.diff(dim=-1)[there[:, 1:]] > 0).all()


def test_evaluation_repeats_itself_and_training_without_noise_chooses_the_same():
    model, (features, mask) = AdaClip(SMALL), videos()
    torch.testing.assert_close(model.encode_videos(features, mask), model.encode_videos(features, mask), rtol=0, atol=0)
    drawn = model.draw(features, mask, tau=1.0, noise=torch.zeros(5, FRAMES))
    torch.testing.assert_close(model.aggregate(drawn), model.encode_videos(features, mask))


def test_a_fresh_adapter_changes_nothing():
    plain, adapted = AdaClip(SMALL), AdaClip(dataclasses.replace(SMALL, adapter_dim=8))
    assert not adapted.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    features, mask = videos()
    torch.testing.assert_close(adapted.encode_videos(features, mask), plain.encode_videos(features, mask))


def test_heads_begin_as_clips_text_layers(small_state):
    for name in ("seqTransf", "transformer"):
        with pytest.raises(ConfigError, match="as many layers"):
            TemporalHead(name, 64, 8).begin_as(small_state)  # it has 2
    deeper = dict(small_state)
    for layer in range(2, 5):
        deeper |= {key.replace("resblocks.0.", f"resblocks.{layer}."): value + layer for key, value in small_state.items()
                   if key.startswith("transformer.resblocks.0.")}
    head = TemporalHead("seqTransf", 64, 8)
    head.begin_as(deeper)
    state = head.state_dict()
    assert torch.equal(state["blocks.3.mlp.c_fc.weight"], deeper["transformer.resblocks.3.mlp.c_fc.weight"])
    assert torch.equal(state["positions.weight"], deeper["positional_embedding"][:8])
    with pytest.raises(ConfigError, match="as wide as the features"):
        TemporalHead("transformer", 32, 8).begin_as(deeper)


def test_a_block_computes_as_clips_does(small_state):
    from clipreel.models.adaclip.block import Block
    from clipreel.models.clip.architecture import import_clip

    import_clip()
    from clip.model import ResidualAttentionBlock

    prefix = "transformer.resblocks.0."
    state = {key.removeprefix(prefix): value for key, value in small_state.items() if key.startswith(prefix)}
    theirs, ours, tokens = ResidualAttentionBlock(64, 1), Block(64), torch.randn(2, 6, 64)
    theirs.load_state_dict(state)
    ours.load_state_dict(state)
    torch.testing.assert_close(ours(tokens), theirs(tokens.transpose(0, 1)).transpose(0, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "transformer"])
def test_words_beyond_a_text_do_not_count(name):
    words, mask = torch.randn(2, 5, DIM), torch.tensor([[True, True, True, False, False], [True] * 5])
    aggregate = WordAggregator(name, DIM, 1.0)
    disturbed = torch.where(mask[..., None], words, torch.full_like(words, 9.0))
    torch.testing.assert_close(aggregate(disturbed, mask), aggregate(words, mask))


@pytest.mark.parametrize(("change", "said"), [
    ({"top_k": 9}, "top_k=9: allowed is from 1 to num_frm=8"),
    ({"top_k": 0}, "top_k=0"),
    ({"no_policy": True, "policy_backbone": "raw", "policy_dim": 3}, "leaves nothing for policy_backbone=raw"),
    ({"no_policy": True, "frame_agg": "mean", "reuse_scores": True}, "no selector whose scores"),
    ({"reuse_scores": True}, "weighs frames by the selector's scores"),
    ({"word_agg": "mlp"}, "goes with frame_agg=mean"),
    ({"adapter_dim": 4, "frame_agg": "qscore"}, "none of its own"),
    ({"policy_backbone": "raw"}, "policy_dim=None"),
    ({"hidden_dim": 200}, "hidden_dim 200 does not divide"),
    ({"frame_agg_temp": 0.0}, "frame_agg_temp=0"),
])
def test_options_that_cancel_each_other_are_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        dataclasses.replace(SMALL, **change)
