"""Every error that clipreel raises on purpose, cut by what the caller can do about it.

ClipreelError
├── UsageError              the command cannot start as it stands: change it (exit code 2)
│   ├── ConfigError         a key or a value is wrong
│   ├── InputError          no video to work on: an empty list, a folder without videos, an unreadable list file
│   ├── WeightsError        a checkpoint is missing, damaged, refused, or of another architecture
│   ├── StoreConflictError  the output folder holds features made with other settings
│   ├── StoredDataError     stored features are missing, damaged or not ours
│   └── MissingExtraError   an optional package is not installed; the message holds the pip line
├── EncoderServerError      the server of feature_type=remote went away, failed, or has another model (exit code 1)
├── ClusterError            the cluster of launcher=ray has no machine left that can work (exit code 1)
├── TrainingError           training cannot go on, its loss is no number (exit code 1)
└── VideoError              one video cannot be used: a row in the report, the others go on (exit code 1)
    ├── UnreadableVideoError  not there, not a video, no video stream, refused
    │   └── NvdecError        the decoder of a GPU cannot decode it
    ├── DamagedVideoError     it opens but ends early or breaks inside (`allow_truncated=true` keeps what decodes)
    ├── OutputError           its features cannot be written
    ├── EmptyVideoError       no frame comes out, or none inside start..end
    ├── DecoderDiedError      the process that decoded it died, or was killed for taking too long (isolate=true)
    │   └── QuarantinedError  that happened twice: left out until retry_failed=true
    │       └── WorkerDiedError  launcher=ray: it killed the worker process that had it alone
    ├── ElsewhereError        another run is at it, or has just done it: no failure
    └── IndexMismatchError    the packets promised frames that decoding did not give; index again by decoding
"""


class ClipreelError(Exception):
    """Base of all; its message is meant for the person at the keyboard."""


class UsageError(ClipreelError):
    """The command cannot start as it stands."""


class ConfigError(UsageError):
    """A key or a value is wrong."""


class InputError(UsageError):
    """There is no video to work on."""


class WeightsError(UsageError):
    """A checkpoint is missing, damaged, refused, or of another architecture."""


class StoreConflictError(UsageError):
    """The output folder holds features made with other settings."""


class StoredDataError(UsageError):
    """Stored features are missing, damaged or not ours."""


class MissingExtraError(UsageError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed: "
                         f"pip install 'clipreel[{extra}]'")


class EncoderServerError(ClipreelError):
    """The server of feature_type=remote went away, failed, or has another model by now."""


class ClusterError(ClipreelError):
    """The cluster of launcher=ray has no machine left that can work for the run."""


class TrainingError(ClipreelError):
    """Training cannot go on: its loss is no number."""


class VideoError(ClipreelError):
    """One video cannot be used; the others go on."""


class UnreadableVideoError(VideoError):
    """The file is not there, is no video, has no video stream, or is refused."""


class NvdecError(UnreadableVideoError):
    """The decoder of a GPU cannot decode it; FFmpeg's may."""


class DamagedVideoError(VideoError):
    """The file opens but ends early or breaks inside."""


class OutputError(VideoError):
    """A video's features cannot be written."""


class EmptyVideoError(VideoError):
    """No frame comes out, or none inside start..end."""


class DecoderDiedError(VideoError):
    """The process that decoded it died, or was killed for taking too long; `deaths`: how many times by now."""

    def __init__(self, message: str, deaths: int):
        super().__init__(message)
        self.deaths = deaths


class QuarantinedError(DecoderDiedError):
    """A video that has killed its decoding process twice: left out until retry_failed=true."""


class WorkerDiedError(QuarantinedError):
    """The worker process of a cluster died whenever it had this video."""


class ElsewhereError(VideoError):
    """Another run on this output is at the video, or has just done it."""


class IndexMismatchError(VideoError):
    """The packets promised frames that decoding did not give; index again by decoding."""
