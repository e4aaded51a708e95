"""`python main.py retrieval train`: what it prints, and how it ends under torchrun."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys

from ..configs.retrieval_evaluate_schema import RetrievalEvaluateConfig
from ..configs.retrieval_train_schema import RetrievalTrainConfig

log = logging.getLogger("clipreel")


def train(config: RetrievalTrainConfig) -> int:
    """Returns the exit code, 0; of several processes each leaves at once when all are done."""
    from .train import train as run

    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    is_first = not several or os.environ.get("RANK") == "0"
    if config.do_inference:
        from .command_evaluate import evaluate

        return evaluate(evaluation_of(config)) if is_first else 0
    if not is_first:
        log.setLevel(logging.ERROR)
    done = run(config)
    if is_first:
        best, count = done.best, len(done.epochs)
        recall = "" if best.text_to_video_recall_1 is None else (
            f"; on validation R@1 {best.text_to_video_recall_1:.1f} text to video, {best.video_to_text_recall_1:.1f} video to text")
        sys.stdout.write(f"epoch {best.epoch + 1} of {count} is kept{recall}\nchosen by {done.chosen_by}\n{done.checkpoint}\n")
    if several:
        # torch's threads may abort an interpreter that shuts down; all is written, so leave without that.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def evaluation_of(config: RetrievalTrainConfig) -> RetrievalEvaluateConfig:
    """do_inference=true in the words of `retrieval evaluate`. Raises ConfigError where keys say another model than the
    checkpoint's."""
    from ..models.adaclip.checkpoint import load_checkpoint, refuse_other_options
    from ..models.adaclip.options import AdaClipOptions

    assert config.resume is not None
    keys = {one.name for one in dataclasses.fields(AdaClipOptions)} & {one.name for one in dataclasses.fields(config)}
    given = {name: value for name in keys if (value := getattr(config, name)) != getattr(RetrievalTrainConfig, name)}
    if config.no_rnn:
        given["rnn"] = "none"
    refuse_other_options(config.resume, load_checkpoint(config.resume).options, given)
    said = {name: value for name in ("concat_captions", "max_txt_len")
            if (value := getattr(config, name)) != getattr(RetrievalTrainConfig, name)}
    asked = RetrievalEvaluateConfig(
        checkpoint=config.resume, dataset=config.dataset, annotations=config.annotations, features=config.features,
        policy_features=config.policy_features, frames_dir=config.frames_dir if config.features is None else None,
        texts=config.texts, top_k=config.top_k, frame_agg=config.frame_agg, encoder_checkpoint=config.encoder.checkpoint,
        policy_checkpoint=config.policy_checkpoint, seed=config.seed, device=config.device, test_annot=config.test_annot, **said)
    if config.output_path == RetrievalTrainConfig.output_path:  # not given: where evaluations go by themselves
        return asked
    return dataclasses.replace(asked, output_path=config.output_path)
