"""Folders of JPEGs in place of stored features: the frames that are looked at go through the extractor into a store."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..configs.schema import EncoderConfig, ExtractConfig
from ..errors import ConfigError, InputError, WeightsError
from ..extract.decode.images import pictures_in
from ..extract.run import output_folder, run
from ..extract.sampling import thinned
from ..extract.stage_files import prepare, write_text
from ..models.base import Encoder, EncoderIdentity
from ..models.registry import identify
from .gallery import ID_COLUMN

log = logging.getLogger("clipreel")


def encode_folders(frames_dir: str, video_ids: Sequence[str], num_frm: int, output_path: Path, *, encoder: Encoder | None,
                   encoder_config: EncoderConfig, batch_size: int, device: str, quiet: bool = False) -> str:
    """Features of `num_frm` pictures (by `thinned`) of each `<frames_dir>/<video id>`, made once; returns their folder.

    The pictures that are wanted are links in a folder of their own, so that the extractor reads no others. Pictures do not say
    when they were on screen: times are counted in seconds a picture. A video without a folder is left out.

    Raises InputError where no video has one, ConfigError where output_path cannot be written.
    """
    root = Path(frames_dir).expanduser()
    if not root.is_dir():
        raise InputError(f"frames_dir={frames_dir}: there is no such folder")
    links = output_path / f"frames_{num_frm}"
    prepare(links)
    listed = io.StringIO(newline="")
    rows = csv.writer(listed)
    rows.writerow(["path", "id", ID_COLUMN])
    found = 0
    for video_id in video_ids:
        if (root / video_id).is_dir() and (pictures := pictures_in(root / video_id)):
            _link([pictures[row] for row in dict.fromkeys(thinned(len(pictures), num_frm).tolist())], links / video_id)
            rows.writerow([os.path.abspath(links / video_id), video_id, video_id])
            found += 1
    if not found:
        raise InputError(f"frames_dir={frames_dir}: holds no folder of pictures of the {len(video_ids)} videos, no "
                         f"{video_ids[0]}/image_00001.jpg; `frames VIDEOS FRAMES` makes them")
    videos = output_path / f"frames_{num_frm}.csv"
    write_text(videos, listed.getvalue())
    wanted = ExtractConfig(encoder=encoder_config, file_with_video_paths=str(videos), on_extraction="save_numpy", fps=1.0,
                           reader="images", output_path=str(output_path / f"features_{num_frm}"), batch_size=batch_size,
                           device=None if encoder is not None else device)
    report = run(wanted, encoder=encoder, quiet=quiet)
    for failure in report.failed:
        log.warning("%s: %s; it counts as missing", failure.name, failure.reason)
    identity = encoder.identity if encoder is not None else identify(**asdict(encoder_config), device=device)
    return str(output_folder(wanted, identity))


def policy_config(wanted: EncoderIdentity, checkpoint: str | None, device: str) -> EncoderConfig:
    """The selector's own network, with the weights of a file or the published ones. Raises WeightsError where they are not those
    that it was trained with."""
    config = EncoderConfig(feature_type="policy", model_name=wanted.model_name, checkpoint=checkpoint, precision="float32",
                           crop=wanted.crop, preprocess=wanted.preprocess)  # pyright: ignore[reportArgumentType]
    here = identify(**asdict(config), device=device)
    if here.weights_sha256 != wanted.weights_sha256:
        raise WeightsError(f"policy_checkpoint={checkpoint}: the selector's {wanted.model_name} had weights of SHA-256 "
                           f"{wanted.weights_sha256}, and these are {here.weights_sha256}: give the file that it was trained with")
    return config


def _link(pictures: Sequence[Path], folder: Path) -> None:
    """Links to the pictures under their names; other links in the folder go."""
    try:
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.is_symlink() and path.name not in {picture.name for picture in pictures}:
                path.unlink()
        for picture in pictures:
            link = folder / picture.name
            target = os.path.abspath(picture)
            if link.is_symlink() and os.readlink(link) != target:
                link.unlink()
            if not link.is_symlink():
                link.symlink_to(target)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); give another output_path") from error
