"""Results of `differencing` as the page shows them, with what people corrected. The run's own files are never changed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..differencing.command import DIFFERENCES
from ..differencing.judges.clip import ClipJudge
from ..differencing.records import Difference, Pictures, Question
from ..differencing.report import VERDICT_WORDS
from ..differencing.run import PROPOSALS, RUN
from ..extract.decode.at import frames_at
from ..extract.store.files import write_whole
from ..extract.text_features import TextFeatures
from .refusal import Refusal, bad_request, not_found
from .session import VideoSession

if TYPE_CHECKING:
    from .workbench import Workbench

log = logging.getLogger("clipreel")
_MOST_BYTES = 20_000_000
_MOST_RESULTS, _MOST_FRAMES = 500, 24
SIDES: tuple[Literal["a"], Literal["b"]] = ("a", "b")


class DifferenceBook:
    """The results that are found below the output folder and the roots, by opaque ids."""

    def __init__(self, bench: Workbench):
        self._bench = bench
        self._lock = threading.Lock()
        self._files: dict[str, Path] = {}

    def found(self) -> list[dict[str, Any]]:
        """A line a result."""
        lines = []
        for path in self._search():
            try:
                record = _read(path)
            except Refusal as error:
                log.info("%s", error.message)
                continue
            with self._lock:
                self._files[_id(path)] = path
            lines.append({"id": _id(path), "name": path.parent.name, "action": record["action"],
                          "videos": {side: Path(str(record["videos"][side])).name for side in SIDES}})
        return lines

    def open_path(self, typed: str) -> dict[str, Any]:
        """A file or a folder of a run. Raises Refusal."""
        try:
            path = Path(os.path.expanduser(typed)).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise not_found(f"the result {typed[:200]!r}") from error
        path = path / DIFFERENCES if path.is_dir() else path
        if path.name != DIFFERENCES or not path.is_file() or not self._allowed(path.resolve()):
            raise not_found(f"the result {typed[:200]!r}")
        with self._lock:
            self._files[_id(path)] = path
        return self.record(_id(path))

    def record(self, result_id: str) -> dict[str, Any]:
        """What the page shows. Raises Refusal."""
        path = self._path(result_id)
        record, edits = _read(path), self._edits(result_id)
        sessions = {side: self._session(path, str(record["videos"][side])) for side in SIDES}
        shifts = {side: self._first_ms(session) for side, session in sessions.items()}
        rows = []
        for one in record["differences"]:
            row = {"judge": None, **one, **{f"{side}_ms": [1000 * second + shifts[side] for second in one[f"{side}_seconds"]]
                                            for side in SIDES}, "stale": False, "edited": False}
            rows.append({name: value for name, value in {**row, **edits.get(str(one["id"]), {})}.items()
                         if not name.endswith("_seconds")})
        ready = self._bench.model.state.state == "ready"
        return {
            "id": result_id, "action": record["action"], "judge": _judge_of(path),
            "videos": {side: self._bench.video_record(session) if session is not None else None
                       for side, session in sessions.items()},
            "stages": [{"id": stage["id"], "name": stage["name"],
                        **{side: [1000 * second + shifts[side] for second in stage[side]] if stage.get(side) else None
                           for side in SIDES}} for stage in record["stages"]],
            "differences": rows, "can_rerun": ready and all(sessions.values()),
            "why_not": None if ready and all(sessions.values()) else "a video of this result is not in the library" if ready
                       else "the model that would judge again is not loaded"}

    def set_frames(self, result_id: str, difference: str, side: str, times_ms: list[float]) -> dict[str, Any]:
        """A person's choice of frames: the verdict is stale from here on. Raises Refusal."""
        path = self._path(result_id)
        self._difference(path, difference)
        if side not in SIDES or not 1 <= len(times_ms) <= _MOST_FRAMES:
            raise bad_request(f"side: allowed is a or b; times_ms: 1 to {_MOST_FRAMES} of them")
        self._edit(result_id, difference, {f"{side}_ms": sorted(times_ms), "stale": True, "edited": True})
        return self.record(result_id)

    def judge_again(self, result_id: str, difference: str) -> dict[str, Any]:
        """By the investigator's own model on the frames as they are now. Raises Refusal."""
        path = self._path(result_id)
        said = self._difference(path, difference)
        record = self.record(result_id)
        if not record["can_rerun"]:
            raise Refusal(409, "conflict", str(record["why_not"]), "open both videos, and wait for the model")
        row = next(one for one in record["differences"] if str(one["id"]) == difference)
        encoder = self._bench.model.encoder()
        judge = ClipJudge(encoder, TextFeatures(self._bench.output / "texts", encoder.identity), margin=0.01)
        pictures = []
        for side in SIDES:
            session = self._session(path, str(_read(path)["videos"][side]))
            if session is None or not row[f"{side}_ms"]:
                raise Refusal(409, "conflict", f"the difference has no frames in {side.upper()}", "choose some first")
            batch = frames_at(session.file.path, np.array(row[f"{side}_ms"]), allow_truncated=True)
            pictures.append(Pictures(batch.pixels, batch.timestamps_ms / 1000))
        question = Question(f"{result_id}/{difference}", str(record["action"]),
                            Difference(difference, str(said["name"]), str(said["statement"]),
                                       opposite=_opposite(path, difference)), *pictures)
        (verdicts,) = judge.judge([[question]])
        if isinstance(verdicts, str):
            raise Refusal(409, "conflict", verdicts, "try again when the cause is gone")
        verdict = verdicts[0]
        self._edit(result_id, difference, {
            "answer": verdict.answer, "verdict": VERDICT_WORDS[verdict.answer], "confidence": verdict.confidence,
            "explanation": verdict.explanation, "judge": judge.identity, "stale": False})
        return self.record(result_id)

    def _difference(self, path: Path, difference: str) -> dict[str, Any]:
        found = next((one for one in _read(path)["differences"] if str(one["id"]) == difference), None)
        if found is None:
            raise not_found(f"the difference {difference[:40]!r}")
        return found

    def _path(self, result_id: str) -> Path:
        if result_id not in self._files:
            self.found()
        with self._lock:
            path = self._files.get(result_id)
        if path is None or not path.is_file():
            raise not_found("this result")
        return path

    def _allowed(self, path: Path) -> bool:
        output = self._bench.output.resolve()
        return path.is_relative_to(output) or self._bench.library.contains(path)

    def _search(self) -> list[Path]:
        found: list[Path] = []
        for root in (self._bench.output, *self._bench.library.roots):
            for current, folders, files in os.walk(root, followlinks=False):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                if DIFFERENCES in files and self._allowed(path := Path(current, DIFFERENCES).resolve()) and path not in found:
                    found.append(path)
                if len(found) >= _MOST_RESULTS:
                    return found
        return found

    def _session(self, path: Path, named: str) -> VideoSession | None:
        """A video of a result, which may be written relative to where the run was started; None outside the library."""
        for place in (Path(named), path.parent / named, path.parent / Path(named).name):
            try:
                return self._bench.session_of(self._bench.library.open_path(str(place)))
            except Refusal:
                continue
        same = [file for file in self._bench.library.videos() if file.name == Path(named).name]
        return self._bench.session_of(same[0]) if len(same) == 1 else None

    def _first_ms(self, session: VideoSession | None) -> float:
        """A result's clock begins with the first frame, the page's with the file."""
        return float(self._bench.frame_times(session)[0]) if session is not None else 0.0

    def _edits(self, result_id: str) -> dict[str, dict[str, Any]]:
        try:
            return json.loads((self._edits_file(result_id)).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning("%s: cannot be read (%s)", self._edits_file(result_id), error)
            return {}

    def _edit(self, result_id: str, difference: str, change: dict[str, Any]) -> None:
        with self._lock:
            edits = self._edits(result_id)
            edits[difference] = {**edits.get(difference, {}), **change}
            file = self._edits_file(result_id)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, lambda stream: stream.write(json.dumps(edits).encode()))
        self._bench.log.append("differences", id=result_id)

    def _edits_file(self, result_id: str) -> Path:
        return self._bench.folder / "differences" / f"{result_id}.json"


def _read(path: Path) -> dict[str, Any]:
    """A result's file. Raises Refusal for what is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        record = json.loads(path.read_text(encoding="utf-8"))
        times = [one[f"{side}_seconds"] for one in record["differences"] for side in SIDES]
        times += [stage[side] for stage in record["stages"] for side in SIDES if stage.get(side)]
        if not all(isinstance(second, (int, float)) for some in times for second in some):
            raise ValueError("times that are no numbers")
        _ = record["action"], *(record["videos"][side] for side in SIDES), *(stage["name"] for stage in record["stages"])
        _ = [(one["id"], one["name"], one["statement"], one["answer"], one["verdict"]) for one in record["differences"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(422, "unreadable", f"{path.parent.name}/{path.name} is no result of differencing ({error})",
                      "make it again with `python main.py differencing`") from error
    return record


def _judge_of(path: Path) -> str | None:
    try:
        return str(json.loads((path.parent / RUN).read_text(encoding="utf-8"))["judge"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _opposite(path: Path, difference: str) -> str | None:
    """The statement turned round, where the run's proposals say it."""
    try:
        for proposal in json.loads((path.parent / PROPOSALS).read_text(encoding="utf-8")).values():
            for one in proposal["differences"]:
                if str(one["id"]) == difference and one.get("opposite"):
                    return str(one["opposite"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


def _id(path: Path) -> str:
    return "d" + hashlib.sha256(b"clipreel result\0" + os.fsencode(path)).hexdigest()[:20]
