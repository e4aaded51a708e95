"""Everything that one running investigator knows. Nothing of it is a page's: tabs are told apart by their addresses alone."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ..configs.investigator_schema import InvestigatorConfig
from ..configs.schema import ExtractConfig
from ..errors import ClipreelError, StoredDataError
from ..extract.decode.registry import reader_for
from ..extract.registry import EXTRACTORS
from ..extract.run import output_folder
from ..extract.store.base import Mark
from ..extract.store.separate import NUMPY
from ..extract.windows import WindowExtractor
from ..models.base import Encoder, EncoderIdentity
from .analysis import Analysis, AnalysisProgress, keyframe_pictures
from .batch import Batch
from .clips import remove_clips
from .curves import CurveMaker
from .differences import DifferenceBook
from .event_log import EventLog
from .headers import HeaderCache
from .jobs import Job, JobQueue, Kind
from .library import Library, VideoFile
from .library_search import LibrarySearch
from .model import Model
from .partial import partial_name
from .probe import Probe, end_ms
from .progress import Told
from .queries import QueryBook
from .refusal import Refusal
from .session import VideoSession
from .stored_features import find_mark, has_pickles
from .transcode import Format

log = logging.getLogger("clipreel")
_MOST_SESSIONS = 24
_WINDOW_SECONDS = 2.0
_SAMPLE = Path(__file__).resolve().parent.parent / "sample"


class Workbench:
    """Of one model. `encoder`: a loaded one in place of the configured. `shared`: another model's workbench with whose videos, news
    and queue this one works; its id is then `model_id`."""

    def __init__(self, config: InvestigatorConfig, encoder: Encoder | None = None, *, shared: Workbench | None = None,
                 model_id: str = ""):
        if encoder is not None:
            identity = encoder.identity
            config = dataclasses.replace(config, encoder=dataclasses.replace(
                config.encoder, feature_type=identity.feature_type, model_name=identity.model_name, pretrained=identity.pretrained))
        self.config, self.model_id = config, model_id
        self.log = shared.log if shared is not None else EventLog()
        self.output = Path(config.output_path).expanduser()
        self.folder = self.output / "investigator"
        first = Path(config.video_path).expanduser() if config.video_path is not None else None
        roots = [Path(root).expanduser() for root in config.roots]
        if not roots:
            roots = [first.resolve().parent if first is not None else _SAMPLE]
        self.headers = shared.headers if shared is not None else HeaderCache()
        self.library = shared.library if shared is not None else Library(roots, [first] if first is not None else [])
        self.model = Model(config.encoder, config.device, self.output / "texts", encoder,
                           lambda state: self.log.append("model", model_id=model_id, model=dataclasses.asdict(state)))
        self.book = QueryBook(self.model, self.folder / "queries", f"?model={model_id}" if model_id else "")
        self.curves = CurveMaker(self.model, self.book)
        self.search, self.differences, self.batch = LibrarySearch(self), DifferenceBook(self), Batch(self)
        self.jobs = shared.jobs if shared is not None else JobQueue()
        self.first_video: str | None = shared.first_video if shared is not None else None
        self.first_problem: str | None = shared.first_problem if shared is not None else None
        if first is not None and shared is None:
            try:
                self.first_video = self.library.open_path(str(first)).id
            except Refusal as error:
                self.first_problem = error.message
        self.clip_files: dict[str, list[Path]] = shared.clip_files if shared is not None else {}  # by job
        self._counted: tuple[object, int] | None = None
        self._analysed_ms = self._seconds = 0.0
        self._frame_times: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self._sessions: OrderedDict[tuple[str, int, float], VideoSession] = OrderedDict()

    def start(self) -> None:
        self.model.start()

    def close(self) -> None:
        self.jobs.close()
        remove_clips(self, 0)

    # videos

    def session(self, video_id: str) -> VideoSession:
        """Of the file as it is now. Raises Refusal."""
        return self.session_of(self.library.get(video_id))

    def session_of(self, file: VideoFile) -> VideoSession:
        key = (file.id, file.size_bytes, file.modified_ms)
        with self._lock:
            session = self._sessions.get(key)
            if session is not None:
                self._sessions.move_to_end(key)
                return session
        session = VideoSession(file, self.headers.of(file), self.videos_folder, self.extract_config)
        with self._lock:
            session = self._sessions.setdefault(key, session)
            idle = [one for one, other in self._sessions.items() if other is not session and not self.jobs.active(one[0])]
            for one in idle[:max(0, len(self._sessions) - _MOST_SESSIONS)]:
                del self._sessions[one]
        return session

    def extract_config(self, path: Path) -> ExtractConfig:
        """The extractor's keys for a video, as this investigator would give them."""
        config = self.config
        windows = issubclass(EXTRACTORS[config.encoder.feature_type], WindowExtractor)
        return ExtractConfig(
            encoder=config.encoder, video_paths=(str(path),), extraction_fps=None if windows else config.extraction_fps,
            sampling=config.sampling, window_seconds=(config.window_seconds or _WINDOW_SECONDS) if windows else None,
            stride_seconds=config.stride_seconds if windows and config.stride_seconds is not None else None,
            batch_size=config.batch_size, workers=config.workers, reader=config.reader, on_extraction="save_numpy",
            output_path=str(self.output), allow_truncated=True)

    def identity(self) -> EncoderIdentity | None:
        """Of the model, where it is known already."""
        return self.model.known_identity

    def video_record(self, session: VideoSession) -> dict[str, Any]:
        """What the page knows of an opened video; its features are read if it has any."""
        identity = self.identity()
        if identity is not None:
            session.load(identity)
        rows, stored = len(session.rows.snapshot()), session.stored
        record = self.brief_record(session.file)
        if stored is None and rows:
            record["state"] = "partial" if session.rows.snapshot().fine.any() else "coarse"
        return {**record, "rows": rows, "problem": session.problem, "duration_ms": session.duration_ms or None}

    def brief_record(self, file: VideoFile) -> dict[str, Any]:
        """The same for lists: no features are read."""
        record = {"id": file.id, "name": file.name, "folder": file.folder, "size_bytes": file.size_bytes,
                  "modified_ms": file.modified_ms, "media": f"/media/{file.id}?changed={file.modified_ms:.0f}", "rows": None,
                  "extraction_fps": None, "job": None, "proxy": None, "pickled": False, **_probed(None)}
        try:
            headers = self.headers.of(file)
        except Refusal as error:
            return {**record, "state": "unreadable", "problem": error.message}
        job, mark = self.jobs.active(file.id, model_id=self.model_id), self._mark(file, headers.content_id)
        record |= {**_probed(headers.probe), "problem": headers.problem, "job": job.record() if job is not None else None}
        if any(path.is_file() for path in self.proxy_paths(headers.content_id).values()):
            record["proxy"] = f"/media/{file.id}/proxy"
        if mark is None:
            record["state"] = "unreadable" if headers.probe is None else "new"
            config, identity = self.extract_config(file.path), self.identity()
            begun = partial_name(config, identity) if identity is not None else "partial-*"
            if any((self.videos_folder / headers.content_id).glob(f"{begun}/*.npz")):
                record["state"] = "partial"
            record["pickled"] = identity is not None and has_pickles(
                output_folder(config, identity), file.path.stem, headers.content_id, identity)
        elif mark.provenance.source.content_id != headers.content_id:
            record["state"] = "changed"
        else:
            source, settings = mark.provenance.source, mark.provenance.settings
            record |= {"state": "analysed", "rows": mark.shape[0], "extraction_fps": settings.extraction_fps,
                       "duration_ms": end_ms(headers.probe, source.duration_seconds)}
        return record

    def count_analysed(self, files: Sequence[VideoFile]) -> int:
        """How many of the files have features; counted again only when files or features changed."""
        identity = self.identity()
        folder = output_folder(self.extract_config(Path()), identity) if identity is not None else None
        stamp = folder.stat().st_mtime_ns if folder is not None and folder.is_dir() else 0
        key = (stamp, tuple(files))
        if self._counted is None or self._counted[0] != key:
            self._counted = key, sum(self.brief_record(file)["state"] == "analysed" for file in files)
        return self._counted[1]

    def _mark(self, file: VideoFile, content_id: str) -> Mark | None:
        """Of this content's features by this model, or else of those that the same path had with another content."""
        identity = self.identity()
        if identity is None:
            return None
        folder = output_folder(self.extract_config(file.path), identity)
        try:
            found = find_mark(folder, file.path.stem, content_id, identity)
            if found is not None:
                return found[2]
            mark = NUMPY.mark(folder, file.path.stem)
        except (StoredDataError, OSError) as error:
            log.warning("%s", error)
            return None
        same = mark is not None and mark.provenance.source.path == str(file.path) and mark.provenance.settings.encoder == identity
        return mark if same else None

    @property
    def videos_folder(self) -> Path:
        return self.folder / "videos"

    def proxy_paths(self, content_id: str) -> dict[Format, Path]:
        """Where a copy that browsers can play lies, once it is made."""
        return {form: self.videos_folder / content_id / f"proxy.{form}" for form in get_args(Format)}

    def is_analysed(self, session: VideoSession) -> bool:
        identity = self.identity()
        return identity is not None and session.is_stored(identity)

    def frame_times(self, session: VideoSession) -> np.ndarray:
        """float64 [n] milliseconds of every frame, from the packets. Raises VideoError."""
        with self._lock:
            times = self._frame_times.get(session.content_id)
        if times is None:
            index = reader_for(session.file.path, self.config.reader).index(session.file.path)
            times = index.times_ms(index.pts)
            with self._lock:
                self._frame_times[session.content_id] = times
                while len(self._frame_times) > _MOST_SESSIONS:
                    self._frame_times.pop(next(iter(self._frame_times)))
        return times

    # work

    @property
    def analysed_per_second(self) -> float | None:
        """Seconds of video a second, in the analyses that ended in this run; None before one did."""
        return self._analysed_ms / 1000 / self._seconds if self._seconds > 0 else None

    def analyse(self, session: VideoSession, *, again: bool = False, first: bool = True) -> Job:
        """Raises Refusal when the model cannot be had, or too many jobs wait."""
        video = session.file.id
        if not again and session.is_stored(self.model.identity()):
            return self._nothing_to_do(session)
        told = Told(self, session)

        def work(job: Job) -> None:
            progress = AnalysisProgress(lambda: told.progress(job, progress), told.arrived)
            told.begin()
            job.phase, began = None, time.monotonic()
            Analysis(session, self.model.encoder(), job.control, progress, again=again).run()
            job.done = job.total = len(session.rows.snapshot())
            self._analysed_ms, self._seconds = self._analysed_ms + session.duration_ms, self._seconds + time.monotonic() - began
            told.end()

        return self.submit("analysis", video, work, first=first)

    def submit(self, kind: Kind, video: str, work: Callable[[Job], dict[str, Any] | None], *, first: bool = True) -> Job:
        """Queue work on a video. Raises Refusal when too many jobs wait."""
        named = self.model_id if kind == "analysis" else None  # all other work is the same for every model
        return self.jobs.submit(Job(kind, video, work, model_id=named, changed=self._job_changed), first=first)

    def make_thumbnails(self, session: VideoSession) -> Job | None:
        """In the background, of a video that is analysed and has none; None where they are there or come anyway."""
        if session.thumbnails.complete or session.probe is None or self.jobs.active(session.file.id, "analysis") is not None:
            return None

        def work(job: Job) -> None:
            keyframe_pictures(session, job.control)
            self.tell_sprites(session)

        return self.submit("thumbnails", session.file.id, work)

    def tell_sprites(self, session: VideoSession) -> None:
        sheets = session.thumbnails.sheets()
        self.log.append("sprites", video=session.file.id, revision=sheets.revision, complete=sheets.complete)

    def tell_video(self, session: VideoSession) -> None:
        try:
            self.log.append("video", model_id=self.model_id, video=self.video_record(session))
        except ClipreelError as error:
            log.warning("%s", error)

    def _nothing_to_do(self, session: VideoSession) -> Job:
        session.load(self.model.identity())
        rows = len(session.rows.snapshot())
        return Job("analysis", session.file.id, lambda job: None, model_id=self.model_id, state="done", done=rows, total=rows)

    def _job_changed(self, job: Job) -> None:
        self.log.append("job", job=job.record())
        if job.state not in ("queued", "running"):
            try:
                self.tell_video(self.session(job.video))
            except Refusal as error:
                log.info("%s", error.message)
            self.batch.go_on()


def _probed(probe: Probe | None) -> dict[str, Any]:
    """A probe's part of a video's record."""
    names = ("duration_ms", "width", "height", "fps", "container", "video_codec", "audio_codec", "mime")
    return {name: getattr(probe, name, None) for name in names}
