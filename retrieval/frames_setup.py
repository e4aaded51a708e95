"""From the config to training from frames, and from what was trained to weight files that every command can load."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save

from ..configs.retrieval_train_schema import RetrievalTrainConfig
from ..configs.schema import EncoderConfig
from ..errors import ConfigError
from ..extract.store.files import write_whole
from ..models.adaclip.checkpoint import StateDict, TextRules, load_checkpoint, save_checkpoint
from ..models.adaclip.end_to_end import FrameNetworks, clip_state_of, policy_state_of
from ..models.adaclip.model import MAX_LOGIT_SCALE, AdaClip
from ..models.base import EncoderIdentity
from ..models.policy.encoder import PolicyEncoder
from ..models.precision import DTYPES
from ..models.registry import identify, load_encoder
from .distributed import Processes
from .frame_folders import encode_folders
from .frames_data import FrameFolder, FrameRule
from .frames_source import FramePairs
from .training_setup import TrainingSetup, adaclip_options, set_up
from .training_videos import TrainingVideos

CLIP, POLICY = "clip.safetensors", "policy.safetensors"
RAW_SIZE = 56


def set_up_from_frames(config: RetrievalTrainConfig, videos: TrainingVideos, group: Processes) -> TrainingSetup:
    """Raises UsageError where pictures, weights or options do not go together."""
    assert config.frames_dir is not None
    device, has_policy = str(group.device), not config.no_policy and config.policy_backbone != "features"
    precision = _precision(config, group.device)
    if has_policy and config.policy_backbone == "raw" and config.rescale_size != RAW_SIZE:
        raise ConfigError(f"rescale_size={config.rescale_size}: policy_backbone=raw sees {RAW_SIZE}x{RAW_SIZE} pictures here")
    if config.clip_is_frozen and (config.freeze_cnn or not has_policy or config.policy_backbone == "raw"):
        return _on_features(config, videos, group, config.policy_backbone if has_policy else None)
    encoder = load_encoder(**{**asdict(config.encoder), "precision": "float32"}, device=device)
    if config.max_img_size not in (RetrievalTrainConfig.max_img_size, encoder.preprocess.image_size):
        raise ConfigError(f"max_img_size={config.max_img_size}: {encoder.identity.model_name} sees pictures of "
                          f"{encoder.preprocess.image_size} pixels; leave it out")
    policy = None
    if has_policy:
        policy = cast(PolicyEncoder, load_encoder("policy", config.policy_backbone, checkpoint=config.policy_checkpoint,
                                                  precision="float32", device=device))
    networks = FrameNetworks(encoder, policy, freeze_clip=config.clip_is_frozen, freeze_cnn=config.freeze_cnn,
                             freeze_layer_num=config.freeze_layer_num, precision=precision)
    torch.manual_seed(config.seed)
    model = AdaClip(adaclip_options(config, encoder.dim, None if policy is None else policy.dim)).to(group.device)
    if model.head is not None:
        model.head.begin_as(clip_state_of(networks.state_dict(), model.logit_scale))
    with torch.no_grad():
        model.logit_scale.fill_(min(math.log(encoder.logit_scale), MAX_LOGIT_SCALE))
    model.logit_scale.requires_grad_(not config.clip_is_frozen)
    specs = [encoder.preprocess, *([] if policy is None else [policy.preprocess])]
    source = FramePairs(
        config.concat_captions, config.seed, group.device, networks, model,
        FrameFolder(config.frames_dir, config.img_tmpl, specs, config.num_workers),
        FrameRule(config.num_frm, config.sampling, config.segment_sampling), config.max_txt_len, train=videos.train,
        validation=videos.validation, videos_at_once=config.batch_size, texts_at_once=config.val_batch_size)
    return TrainingSetup(model, source, encoder.identity, None if policy is None else policy.identity,
                         TextRules(config.concat_captions, config.max_txt_len), int((~source.available).sum()),
                         bool(source.validation_available.any()))


def _on_features(config: RetrievalTrainConfig, videos: TrainingVideos, group: Processes, policy_backbone: str | None,
                 ) -> TrainingSetup:
    """No network of pictures learns, so each picture goes through them once, into the store."""
    if config.sampling != "uniform" or config.segment_sampling:
        raise ConfigError(f"sampling={config.sampling}, segment_sampling={str(config.segment_sampling).lower()}: with "
                          "freeze_clip=true the pictures are encoded once, the first of each part; leave them out, or give "
                          "freeze_clip=false")
    assert config.frames_dir is not None
    listed = [video.video_id for some in (videos.train, videos.validation) for video in some]
    folders = [encode_folders(config.frames_dir, listed, config.num_frm, Path(config.output_path).expanduser() / "frames",
                              encoder=None, encoder_config=one, batch_size=config.batch_size, device=str(group.device))
               for one in (config.encoder, *([] if policy_backbone is None else [EncoderConfig(
                   feature_type="policy", model_name=policy_backbone, checkpoint=config.policy_checkpoint, precision="float32")]))]
    of_pictures = {name: getattr(RetrievalTrainConfig, name) for name in ("img_tmpl", "max_img_size", "policy_checkpoint")}
    stored = dataclasses.replace(config, frames_dir=None, features=folders[0], freeze_clip=True,
                                 policy_features=folders[1] if len(folders) > 1 else None, **of_pictures)
    return set_up(stored, videos, group)


def write_networks(path: Path, config: RetrievalTrainConfig) -> None:
    """What was trained beside the model at `path`, as weight files in its folder: clip.safetensors for feature_type=clip
    model_name=custom checkpoint=…, policy.safetensors for policy_checkpoint=. The model then names them as its encoders.

    Nothing is done where that has been done already. Raises ConfigError where they cannot be written.
    """
    checkpoint = load_checkpoint(path)
    state = checkpoint.clip_state
    if not any(name.startswith("visual.") for name in state):
        return
    encoder, policy = checkpoint.encoder, checkpoint.policy
    clip = clip_state_of(state, checkpoint.model.logit_scale)
    try:
        if not config.clip_is_frozen:
            encoder = _written(path.with_name(CLIP), clip, encoder, "custom")
        if policy is not None and not config.freeze_cnn and (trained := policy_state_of(state)):
            policy = _written(path.with_name(POLICY), trained, policy, policy.model_name)
        # Words of a text are weighed by what the model knows: only there its own text tower is needed with it.
        words = {name.removeprefix("text."): tensor for name, tensor in state.items() if name.startswith("text.")}
        kept = words if checkpoint.options.needs_words else {}
        save_checkpoint(path, dataclasses.replace(checkpoint, encoder=encoder, policy=policy, clip_state=kept))
    except OSError as error:
        raise ConfigError(f"output_path={path.parent}: the trained networks cannot be written ({error})") from error


def _written(path: Path, state: StateDict, before: EncoderIdentity, model_name: str) -> EncoderIdentity:
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    write_whole(path, lambda file: file.write(content))
    named = identify(before.feature_type, model_name, checkpoint=str(path), precision="float32", device="cpu",
                     crop=before.crop, preprocess=before.preprocess)  # pyright: ignore[reportArgumentType]
    return dataclasses.replace(before, model_name=model_name, weights_sha256=named.weights_sha256)


def _precision(config: RetrievalTrainConfig, device: torch.device) -> torch.dtype:
    """Of the arithmetic; the weights stay float32."""
    named = config.encoder.precision
    if named == "auto":
        named = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if named == "float16":
        raise ConfigError("precision=float16 loses small gradients in training: allowed is bfloat16, float32, or auto, which is "
                          "bfloat16 on a GPU that has it")
    return DTYPES[named]
