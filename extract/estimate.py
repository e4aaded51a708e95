"""`dry_run=true`: what a run would be, from the videos' packets alone."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from ..configs.schema import ExtractConfig
from ..errors import VideoError
from ..models.registry import load_encoder
from .choosing import read_selection
from .decode.registry import reader_for
from .devices import resolve_devices
from .fetching import Fetcher
from .registry import make_extractor
from .run import options_of, videos_of
from .sampling import sample
from .videos import VideoItem

_BYTES_PER_VIDEO = 2_000  # the metadata and the arrays' headers


def run(config: ExtractConfig) -> int:
    """Print counts, hours and disk; 1 when some video cannot be indexed."""
    items, options = videos_of(config), options_of(config)
    devices = resolve_devices(config.device_ids, config.device)
    selection = read_selection(config, config.encoder.feature_type, devices[0])
    encoder = load_encoder(**asdict(config.encoder), device=devices[0])
    extractor, dim = make_extractor(encoder, config.window_seconds, config.stride_seconds), encoder.dim

    def measure(item: VideoItem) -> tuple[int, float] | str:
        video = None
        try:
            video = fetcher.local(item, None)
            index = reader_for(video.path, options.reader, options.fps).index(video.path)
            if index.damage and not options.allow_truncated:
                return f"{item}: {index.damage} (allow_truncated=true keeps what decodes)"
            rows = len(extractor.units(sample(index, options.request_of(item))).rows)
            return rows if selection is None else min(rows, selection.options.top_k), index.duration_seconds
        except VideoError as error:
            return str(error) if video is None else str(error).replace(str(video.path), str(item))
        finally:
            if video is not None:
                video.release()

    fetcher = Fetcher(options.tmp_path)
    try:
        with ThreadPoolExecutor(options.workers) as pool:
            results = list(pool.map(measure, items))
    finally:
        fetcher.close()
    good = [result for result in results if not isinstance(result, str)]
    bad = [result for result in results if isinstance(result, str)]
    rows, seconds = sum(rows for rows, _ in good), sum(duration for _, duration in good)
    size = rows * (dim * (2 if config.dtype == "float16" else 4) + 8) + len(good) * _BYTES_PER_VIDEO
    sys.stdout.write(f"{len(good)} videos, {seconds / 3600:.2f} hours, {rows} frames to encode into [{dim}] features, "
                     f"about {size / 1e6:,.2f} MB on disk; {len(bad)} cannot be read\n")
    sys.stdout.writelines(f"  {reason}\n" for reason in bad)
    return 1 if bad else 0
