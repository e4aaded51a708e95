"""How a pipeline is to run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .sampling import SamplingRequest
from .videos import VideoItem


@dataclass(frozen=True)
class PipelineOptions:
    """Of these only reader, fps and the request change the numbers."""

    request: SamplingRequest
    batch_size: int
    workers: int
    reader: str = "auto"
    fps: float | None = None
    allow_truncated: bool = False
    nvdec: tuple[str, ...] = ()  # CUDA devices that decode, beside the CPU's threads, or alone with reader=torchcodec
    deterministic: bool = False  # batches of one video, padded: then no number depends on what else is at hand
    compiled: bool = False  # the encoders are, for passes of batch_size units
    tmp_path: str | None = None  # where videos at URLs are fetched to; None: the system's folder for temporary files
    isolate: bool = False  # decode in processes of their own
    decode_seconds_limit: float | None = None  # of a video; then its process is killed, or (not isolated) it is said

    @property
    def cpu_threads(self) -> int:
        """That decode."""
        return 0 if self.nvdec and self.reader == "torchcodec" else self.workers

    def request_of(self, item: VideoItem) -> SamplingRequest:
        """The run's request, inside the item's own segment where it has one."""
        starts = [time for time in (self.request.start_seconds, item.start_seconds) if time is not None]
        ends = [time for time in (self.request.end_seconds, item.end_seconds) if time is not None]
        return replace(self.request, start_seconds=max(starts, default=None), end_seconds=min(ends, default=None))
