"""Hard-Top-k against the golden data, and what must hold of every choice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from clipreel.models.adaclip.hard_top_k import NO_FRAME, gumbel, hard_top_k, top_k, uniform

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "adaclip_5.npz"


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("case", range(5))
def test_as_the_original(case):
    with np.load(GOLDEN) as golden:
        of_case = {name: torch.from_numpy(golden[f"case{case}_{name}"])
                   for name in ("log_probs", "gumbel", "indices", "soft", "weights", "grad_log_probs", "k_tau")}
    k, tau = int(of_case["k_tau"][0]), float(of_case["k_tau"][1])
    # The choice does not depend on a constant of a row, so the gradient by logits is that by log probabilities.
    log_probs = of_case["log_probs"].clone().requires_grad_()
    drawn = hard_top_k(log_probs, k, tau, noise=of_case["gumbel"])
    assert torch.equal(drawn.indices, of_case["indices"])
    torch.testing.assert_close(drawn.soft, of_case["soft"], rtol=0, atol=1e-5)
    torch.testing.assert_close(drawn.weights, torch.nn.functional.one_hot(of_case["indices"], log_probs.shape[1]).float(),
                               rtol=0, atol=0)
    (drawn.weights * of_case["weights"]).sum().backward()
    assert log_probs.grad is not None
    error = (log_probs.grad - of_case["grad_log_probs"]).norm() / of_case["grad_log_probs"].norm()
    assert error < 1e-4


@pytest.mark.parametrize("tau", [0.01, 0.5, 5.0])
def test_frames_are_distinct_and_weights_one_hot(tau, generator):
    logits = torch.randn(64, 20, generator=generator) * 8
    drawn = hard_top_k(logits, 13, tau)
    assert all(len(set(row.tolist())) == 13 for row in drawn.indices)
    assert torch.equal(drawn.weights.detach(), torch.nn.functional.one_hot(drawn.indices, 20).float())
    torch.testing.assert_close(drawn.soft.sum(dim=-1), torch.ones(64, 13))


def test_all_frames_are_no_selection(generator):
    features = torch.randn(4, 9, 5, generator=generator)
    drawn = hard_top_k(torch.randn(4, 9, generator=generator), 9, 1.0).in_time_order()
    assert torch.equal(drawn.weights @ features, features)
    assert torch.equal(drawn.indices, torch.arange(9).expand(4, 9))


def test_gradients_reach_frames_that_were_not_chosen(generator):
    logits = torch.randn(3, 10, generator=generator).requires_grad_()
    features = torch.randn(3, 10, 6, generator=generator)
    drawn = hard_top_k(logits, 2, 1.0, noise=torch.zeros(3, 10))
    (drawn.weights @ features).square().sum().backward()
    assert logits.grad is not None
    unchosen = torch.ones(3, 10, dtype=torch.bool).scatter(1, drawn.indices, False)
    assert (logits.grad[unchosen].abs() > 1e-6).all()


def test_masked_frames_are_never_chosen_and_short_videos_give_what_they_have(generator):
    mask = torch.rand(200, 12, generator=generator) < 0.5
    mask[0] = False
    logits = (torch.randn(200, 12, generator=generator) + 50.0 * ~mask).requires_grad_()  # masked ones look best
    drawn = hard_top_k(logits, 5, 0.7, mask=mask)
    for indices, there in ((drawn.indices, mask), (top_k(logits.detach(), 5, mask), mask), (uniform(5, mask), mask)):
        for row, frames in zip(indices.tolist(), there, strict=True):
            chosen = [frame for frame in row if frame != NO_FRAME]
            assert len(chosen) == len(set(chosen)) == min(5, int(frames.sum()))
            assert frames[chosen].all()
            assert row[:len(chosen)] == chosen, "places without a frame come last"
    assert torch.equal(drawn.weights.detach().sum(dim=-1), (drawn.indices != NO_FRAME).float())
    (drawn.weights * torch.randn(200, 5, 12, generator=generator)).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()
    assert (logits.grad[~mask] == 0).all()


def test_a_mask_is_as_if_the_frames_were_not_there(generator):
    logits, noise = torch.randn(2, 6, generator=generator), gumbel((2, 6), generator=generator)
    mask = torch.tensor([[True, False, True, True, False, True]] * 2)
    masked = hard_top_k(logits, 3, 0.8, mask=mask, noise=noise)
    short = hard_top_k(logits[:, mask[0]], 3, 0.8, noise=noise[:, mask[0]])
    assert torch.equal(torch.arange(6)[mask[0]][short.indices], masked.indices)
    torch.testing.assert_close(masked.soft[..., mask[0]], short.soft)


def test_evaluation_is_plain_top_k_in_time_order(generator):
    logits = torch.randn(50, 16, generator=generator)
    assert torch.equal(top_k(logits, 4), logits.topk(4).indices.sort(dim=-1).values)
    assert top_k(torch.zeros(1, 5), 3).tolist() == [[0, 1, 2]]
    without_noise = hard_top_k(logits, 4, 0.5, noise=torch.zeros(50, 16))
    assert torch.equal(without_noise.in_time_order().indices, top_k(logits, 4))


def test_uniform_frames_begin_equal_parts():
    everywhere = torch.ones(1, 16, dtype=torch.bool)
    assert uniform(4, everywhere).tolist() == [[0, 4, 8, 12]]
    for k in range(1, 17):
        assert uniform(k, everywhere).tolist() == [np.floor(np.linspace(0, 16, k, endpoint=False)).astype(int).tolist()]
    assert uniform(2, torch.tensor([[False, True, False, True, True, True]])).tolist() == [[1, 4]]


def test_likelier_frames_are_drawn_more_often():
    torch.manual_seed(0)
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(20000, 3)
    first = hard_top_k(logits, 1, 1.0).indices[:, 0]
    np.testing.assert_allclose(torch.bincount(first) / 20000, [0.5, 0.3, 0.2], atol=0.015)


def test_extreme_logits_stay_numbers():
    logits = torch.tensor([[1e4, 0.0, -1e4, 0.0]], requires_grad=True)
    drawn = hard_top_k(logits, 3, 0.05)
    assert len(set(drawn.indices[0].tolist())) == 3
    (drawn.weights * torch.arange(12.0).reshape(1, 3, 4)).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_one_round_a_frame_whatever_the_batch(monkeypatch):
    """No loop over samples: the number of tensor operations does not depend on the batch."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counter(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += 1
            return func(*args, **(kwargs or {}))

    counts = []
    for batch in (1, 300):
        with Counter() as counter:
            hard_top_k(torch.zeros(batch, 8), 4, 1.0).in_time_order()
        counts.append(counter.count)
    assert counts[0] == counts[1]


def test_bounds_are_said():
    with pytest.raises(ValueError, match="k=7: allowed is from 1 to the number of frames, 6"):
        hard_top_k(torch.zeros(1, 6), 7, 1.0)
    with pytest.raises(ValueError, match="k=0"):
        top_k(torch.zeros(1, 6), 0)
    with pytest.raises(ValueError, match="tau=0"):
        hard_top_k(torch.zeros(1, 6), 2, 0.0)
