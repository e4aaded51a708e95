"""`select=CHECKPOINT`: a selector with its own eyes decides which frames the encoder sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clipreel import cli, extract_features, load_features
from clipreel.errors import ConfigError, StoreConflictError, WeightsError
from clipreel.extract.flops import FlopCount
from clipreel.extract.report import SelectionUse
from clipreel.extract.sampling import thinned
from clipreel.models.adaclip.checkpoint import Checkpoint, TextRules, save_checkpoint
from clipreel.models.adaclip.model import AdaClip
from clipreel.models.adaclip.options import AdaClipOptions
from clipreel.models.adaclip.selector import Selector
from clipreel.models.registry import identify, load_encoder
from clipreel.tests.extract.lying_packets import write_lying
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import mobilenet_v2

N, K = 8, 3
BRIGHTNESS = {"a": [0, 200, 20, 180, 40, 160, 60, 140, 80, 120, 90, 100], "b": [90, 80, 70, 60, 50, 40, 30, 20, 240],
              "short": [30, 10], "of k": [1, 2, 3], "between": [50, 10, 90, 70, 30]}


def write_selection(path: Path, *, policy: Any = "raw", brightest: bool = False, tiny: Any, **options: Any) -> Path:
    """A checkpoint with random weights, or one whose selector scores a frame by its brightness."""
    torch.manual_seed(11)
    identity = identify("policy", policy, device="cpu") if isinstance(policy, str) else policy
    dims = {}
    if identity is not None:
        dims = {"policy_backbone": identity.model_name, "policy_dim": 3136 if identity.model_name == "raw" else 1280}
    defaults = {"num_frm": N, "top_k": K, "hidden_dim": 64, "mlp_hidden_dim": 16, "frame_agg": "mean", **dims}
    if brightest:
        defaults |= {"rnn": "none", "mlp_type": "fc"}
    model = AdaClip(AdaClipOptions(tiny.dim, **{**defaults, **options}))
    if brightest:
        assert model.selector is not None
        model.selector.scorer.get_parameter("weight").data.fill_(1.0)
    save_checkpoint(path, Checkpoint(model, tiny.identity, TextRules("concat", 32), identity))
    return path


@pytest.fixture(scope="module")
def brightest(tiny, tmp_path_factory) -> Path:
    return write_selection(tmp_path_factory.mktemp("selection") / "brightest.safetensors", brightest=True, tiny=tiny)


@pytest.fixture(scope="module")
def random_selection(tiny, tmp_path_factory) -> Path:
    return write_selection(tmp_path_factory.mktemp("selection") / "random.safetensors", tiny=tiny)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Videos of pictures, one a second, known by their brightness."""
    root = tmp_path_factory.mktemp("pictures")
    for name, levels in BRIGHTNESS.items():
        (root / name).mkdir()
        for number, level in enumerate(levels):
            pixels = np.full((48, 64, 3), level, np.uint8)
            pixels[number:number + 8, :8] = 255
            Image.fromarray(pixels).save(root / name / f"image_{number + 1:05}.png")
    return root


@pytest.fixture(scope="module")
def whole(folders, tiny):
    """Every frame's features."""
    return extract_features(folders, encoder=tiny, fps=1).features


def expected_rows(levels: list[int]) -> list[int]:
    """By hand: the K brightest of the first rows of N equal parts, in time order."""
    candidates = [row for row in range(len(levels)) if row in {part * len(levels) // N for part in range(N)}]
    return sorted(sorted(candidates, key=lambda row: -levels[row])[:K])


def used(report: Any) -> SelectionUse:
    assert report.selection is not None
    return report.selection


class Counting:
    """An encoder that counts the frames it is given."""

    def __init__(self, inner):
        self._inner, self.frames = inner, 0

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def encode(self, frames):
        self.frames += len(frames)
        return self._inner.encode(frames)


def assert_chosen(report, whole):
    assert not report.failed
    assert set(report.features) == set(BRIGHTNESS)
    for key, levels in BRIGHTNESS.items():
        rows = expected_rows(levels)
        assert len(rows) == min(K, len(levels))
        assert report.features[key].timestamps_ms.tolist() == [1000.0 * row for row in rows]
        assert np.allclose(report.features[key].features, whole[key].features[rows], atol=1e-5)


def test_only_chosen_frames_pass_the_encoder(folders, tiny, brightest, whole):
    encoder: Any = Counting(tiny)
    report = extract_features(folders, encoder=encoder, fps=1, select=brightest, batch_size=4)
    assert_chosen(report, whole)
    chosen = sum(min(K, len(levels)) for levels in BRIGHTNESS.values())
    assert encoder.frames == chosen == report.frames == used(report).encoded_frames
    assert used(report).candidate_frames == sum(min(N, len(levels)) for levels in BRIGHTNESS.values())
    (sizes,) = report.batch_sizes.values()
    assert sizes == [4, 4, 4, 2]  # they fill across videos


@pytest.mark.parametrize(("devices", "batch_size"), [("cpu", 1), ("[cpu, cpu]", 1), ("[cpu, cpu]", 3), ("cpu", 64)])
def test_devices_and_batches_change_nothing(folders, brightest, whole, devices, batch_size):
    report = extract_features(folders, model_name="tiny", fps=1, select=brightest, device_ids=devices, batch_size=batch_size)
    assert_chosen(report, whole)
    assert sum(sum(sizes) for sizes in report.batch_sizes.values()) == used(report).encoded_frames == 14


@pytest.mark.parametrize("on_extraction", ["save_numpy", "save_pickle", "save_hdf5"])
def test_every_store_and_going_on(folders, tiny, brightest, random_selection, whole, tmp_path, on_extraction):
    keys: dict[str, Any] = {"encoder": tiny, "fps": 1, "on_extraction": on_extraction, "output_path": tmp_path}
    extract_features([folders / "a", folders / "b"], select=brightest, **keys)
    report = extract_features(folders, select=brightest, **keys)
    assert (sorted(report.skipped), len(report.done)) == (["a", "b"], 3)
    assert_chosen(report, whole)
    stored = load_features(tmp_path / "clip" / "tiny", "a")
    assert len(stored.provenance.settings.select or "") == 64
    again = extract_features(folders, select=brightest, **keys)
    assert (len(again.skipped), again.done, again.selection) == (5, [], None)
    for other in ({"select": random_selection}, {}):
        with pytest.raises(StoreConflictError, match="select: "):
            extract_features(folders, **keys, **other)
    assert len(extract_features(folders, select=random_selection, overwrite=True, **keys).done) == 5
    assert load_features(tmp_path / "clip" / "tiny", "a").provenance.settings.select != stored.provenance.settings.select


def test_printed_from_the_command_line(folders, brightest, capsys):
    words = ["feature_type=clip", "model_name=tiny", "device=cpu", "fps=1", f"video_paths={folders / 'b'}", f"select={brightest}"]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert "timestamps_ms\n[   0. 1000. 2000.]\n" in said.out
    assert "select: 3 of 8 candidate frames encoded" in said.err
    assert "GFLOP saved" in said.err


def test_dry_run_counts_chosen_rows(folders, brightest, capsys):
    words = ["feature_type=clip", "model_name=tiny", "device=cpu", "fps=1", f"video_paths={folders}", f"select={brightest}"]
    assert cli.main([*words, "dry_run=true"]) == 0
    assert "14 frames to encode" in capsys.readouterr().out


def test_as_the_model_selects_on_stored_features(sample_videos, zoo, tiny, random_selection, tmp_path):
    """Trained on stored cheap features, used before the encoder: the same frames, also of short videos and parts."""
    from clipreel.models.adaclip.checkpoint import load_checkpoint
    from clipreel.retrieval.policy_rows import policy_rows

    model = load_checkpoint(random_selection).model
    videos = [*sample_videos, zoo("one_frame.mp4"), zoo("h264_open_gop.mp4")]
    keys: dict[str, Any] = {"extraction_fps": 2, "workers": 4}
    chosen = extract_features(videos, encoder=tiny, select=random_selection, **keys).features
    features = extract_features(videos, encoder=tiny, **keys).features
    looks = extract_features(videos, feature_type="policy", model_name="raw", device="cpu", **keys).features
    assert len(chosen) == len(videos)
    for key, one in features.items():
        rows = thinned(len(one), N)
        mask = torch.from_numpy(np.diff(rows, prepend=-1) > 0)[None]
        policy = torch.from_numpy(policy_rows(one, looks[key], rows))[None]
        indices = model.select(torch.zeros(1, N, tiny.dim), mask, policy)[0]
        kept = rows[indices[indices >= 0].numpy()]
        assert chosen[key].timestamps_ms.tolist() == one.timestamps_ms[kept].tolist()
        assert np.allclose(chosen[key].features, one.features[kept], atol=1e-5)


def test_a_source_slower_than_the_sampling(tiny, zoo, random_selection):
    """Rows that show one and the same frame are looked at and encoded once."""
    report = extract_features(zoo("one_frame.mp4"), encoder=tiny, extraction_fps=100, select=random_selection)
    assert len(report.features["one_frame"]) == K
    assert (used(report).candidate_frames, used(report).encoded_frames) == (1, 1)


def test_packets_that_lie(tiny, random_selection, tmp_path):
    _, lying = write_lying(tmp_path)
    report = extract_features(lying, encoder=tiny, select=random_selection)
    assert len(report.features["lying"]) == K


def test_a_cut_video(tiny, zoo, brightest):
    assert extract_features(zoo("cut.mp4"), encoder=tiny, select=brightest).failed
    report = extract_features([zoo("cut.mp4"), zoo("burnt.mp4")], encoder=tiny, select=brightest, allow_truncated=True)
    assert len(report.features["cut"]) == K
    assert report.features["cut"].provenance.source.damage


def test_counted_as_it_ran(folders, tiny, brightest):
    """One frame through the encoder, and looks and scores, by torch's own counter."""
    report = extract_features([folders / "a", folders / "short"], encoder=tiny, fps=1, select=brightest, batch_size=2)
    use = used(report)
    with FlopCounterMode(display=False) as counter:
        tiny.encode(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    frame = counter.get_total_flops()
    assert frame > 1e6
    assert use.encoder_flops == frame * (3 + 2)
    assert use.choosing_flops == 2 * (2 * 3136) * N  # pixels cost nothing, scores a product a slot, two videos
    assert use.saved_flops == pytest.approx(frame * 5 - use.choosing_flops)
    assert f"{use.saved_flops / 1e9:.3f} GFLOP saved" in str(report)


def test_a_network_looks(folders, tiny, tmp_path):
    """mobilenet_v2 from a file of one's own, which must be the file that the selection was trained with."""
    torch.manual_seed(1)
    torch.save(mobilenet_v2(weights=None).state_dict(), tmp_path / "own.pth")
    torch.manual_seed(2)
    torch.save(mobilenet_v2(weights=None).state_dict(), tmp_path / "other.pth")
    own = identify("policy", "mobilenet_v2", checkpoint=str(tmp_path / "own.pth"), device="cpu")
    selection = write_selection(tmp_path / "s.safetensors", policy=own, tiny=tiny, rnn="lstm")
    keys: dict[str, Any] = {"encoder": tiny, "fps": 1, "select": selection}
    report = extract_features(folders / "a", policy_checkpoint=str(tmp_path / "own.pth"), **keys)
    assert used(report).choosing_flops > N * 0.59e9  # 0.3 G multiplications with additions a look
    assert used(report).saved_flops < 0  # tiny is cheaper than such looks, and the report says so
    assert "GFLOP more than without choosing" in str(report)
    wrongs: tuple[dict[str, Any], ...] = ({"policy_checkpoint": str(tmp_path / "other.pth")}, {})
    for wrong in wrongs:
        with pytest.raises(WeightsError, match="give the file that it was trained with as policy_checkpoint="):
            extract_features(folders / "a", **keys, **wrong)


def test_what_cannot_choose_is_refused(folders, tiny, brightest, tmp_path):
    features = write_selection(tmp_path / "features.safetensors", policy=None, tiny=tiny)
    uniform = write_selection(tmp_path / "uniform.safetensors", policy=None, tiny=tiny, no_policy=True)
    for settings, message in (
        ({"select": features}, "chooses by the encoder's own features and nothing cheaper"),
        ({"select": uniform}, f"extraction_total={K}"),
        ({"policy_checkpoint": "x.pth"}, "goes with select=CHECKPOINT"),
    ):
        with pytest.raises(ConfigError, match=message):
            extract_features(folders / "a", encoder=tiny, fps=1, on_extraction="save_numpy", output_path=tmp_path / "out",
                             **settings)
    with pytest.raises(ConfigError, match="is the cheap look itself"):
        extract_features(folders / "a", feature_type="policy", model_name="raw", device="cpu", fps=1, select=brightest)
    with pytest.raises(WeightsError, match="there is no checkpoint"):
        extract_features(folders / "a", encoder=tiny, fps=1, select=tmp_path / "none.safetensors")
    assert not (tmp_path / "out").exists()


def test_windows_are_refused(folders, brightest, tmp_path):
    from clipreel.tests.viclip_small import write_small

    encoder = load_encoder("viclip", "custom", checkpoint=str(write_small(tmp_path / "viclip.pth")), device="cpu")
    with pytest.raises(ConfigError, match="encodes windows"):
        extract_features(folders / "a", encoder=encoder, fps=1, select=brightest)


def test_looks_are_features_like_others(folders, tmp_path, capsys):
    """feature_type=policy into a store: what training with a cheap policy reads."""
    words = ["feature_type=policy", "model_name=raw", "device=cpu", "fps=1", f"video_paths={folders}", "on_extraction=save_numpy",
             f"output_path={tmp_path}", "dtype=float16"]
    assert cli.main(words) == 0
    stored = load_features(tmp_path / "policy" / "raw", "a")
    assert stored.features.shape == (12, 3136)
    assert np.allclose(stored.features[3, -1], 180 / 255, atol=1e-3)
    assert json.loads((tmp_path / "policy" / "raw" / "a_meta.json").read_text())["settings"]["feature_type"] == "policy"
    assert cli.main([*words[:-3], "show_pred=true", "pred_texts=['a dog']"]) == 2
    assert "has no text tower" in capsys.readouterr().err


def test_flops_of_recurrent_layers_and_of_what_fails():
    count, width, steps = FlopCount(), 64, torch.randn(1, 16, 100)
    for directions, rnn in ((1, "lstm"), (2, "bilstm")):
        selector = Selector(100, num_frm=16, rnn=rnn, hidden_dim=width, mlp_hidden_dim=32).eval()  # pyright: ignore[reportArgumentType]
        count = FlopCount()
        with torch.inference_mode():
            for _ in range(3):
                count.run(rnn, lambda: selector(steps, torch.ones(1, 16, dtype=torch.bool)))  # noqa: B023
        assert count.total == 3 * 16 * (directions * 2 * 4 * width * (100 + width) + 2 * (width * 32 + 32))
    before = count.total
    with pytest.raises(ZeroDivisionError):
        count.run("fails", lambda: steps @ steps.mT * (1 // 0))
    assert count.total == before


def test_attention_by_its_own_kernel_is_counted():
    """In evaluation nn.MultiheadAttention is one operation (open_clip's towers)."""
    attention, tokens = torch.nn.MultiheadAttention(64, 2, batch_first=True).eval().requires_grad_(False), torch.randn(3, 5, 64)
    count = FlopCount()
    with torch.inference_mode():
        count.run("fast", lambda: attention(tokens, tokens, tokens, need_weights=False))
    assert count.total == 2 * 15 * 4 * 64**2 + 4 * 3 * 5 * 5 * 64
