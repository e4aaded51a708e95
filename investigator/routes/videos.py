"""Videos: lists, records, media, frames, thumbnails, marks, copies."""

from __future__ import annotations

from typing import Any, get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ..endpoint import Asked, get, post, refusal_response
from ..forget import forget_analysis
from ..frame_picture import frame_at
from ..jobs import Job
from ..library import VideoFile
from ..probe import media_type
from ..refusal import Refusal, bad_request, not_found
from ..session import VideoSession
from ..thumbnails import COLUMNS, ROWS, jpeg
from ..transcode import Format, encode_part
from ..video_filter import VideoFilter

_SORTS = {"name": lambda file: (file.folder, file.name), "modified": lambda file: -file.modified_ms,
          "size": lambda file: -file.size_bytes}

_MOST_FOLDERS = 500


def session_of(asked: Asked) -> VideoSession:
    return asked.workbench.session(asked.path["video"])


def list_videos(asked: Asked) -> dict[str, Any]:
    """A page of the library, of what the filters let through."""
    bench, query = asked.workbench, asked.query
    offset, limit = int(asked.parameter("offset", 0, 0, 1e9)), int(asked.parameter("limit", 50, 1, 200))
    find, sort = query.get("find", "").lower(), query.get("sort", "name")
    if sort not in (*_SORTS, "duration"):
        raise bad_request(f"sort: allowed is {', '.join([*_SORTS, 'duration'])}")
    bounds = {f"{name}_ms": asked.parameter(f"{name}_ms", 0, 0, 1e12) for name in ("shortest", "longest") if f"{name}_ms" in query}
    wanted = VideoFilter(query.get("state") or None, query.get("folder") or None, **bounds,
                         failed=frozenset(bench.jobs.failed("analysis", bench.model_id)))
    files = [file for file in bench.library.videos()
             if find in f"{file.folder}/{file.name}".lower() and wanted.takes_folder(file.folder)]
    files.sort(key=_SORTS.get(sort, _SORTS["name"]))
    if sort == "duration" or wanted.needs_headers:
        records = [record for record in map(bench.brief_record, files) if wanted.takes(record)]
        if sort == "duration":
            records.sort(key=lambda record: -(record["duration_ms"] or 0))
        return {"total": len(records), "offset": offset, "videos": records[offset:offset + limit]}
    return {"total": len(files), "offset": offset, "videos": [bench.brief_record(file) for file in files[offset:offset + limit]]}


def library(asked: Asked) -> dict[str, Any]:
    """Counts over all of it."""
    bench = asked.workbench
    states = [bench.brief_record(file) for file in bench.library.videos()]
    durations = [record["duration_ms"] for record in states]
    new = [record for record in states if record["state"] in ("new", "partial", "changed")]
    rate = bench.analysed_per_second
    known = [record["duration_ms"] for record in new if record["duration_ms"]]
    return {"total": len(states), "analysed": sum(record["state"] == "analysed" for record in states), "new": len(new),
            "failed": sum(record["state"] == "unreadable" for record in states),
            "folders": sorted({record["folder"] for record in states} - {""})[:_MOST_FOLDERS],
            "total_ms": sum(one for one in durations if one) if all(durations) else None,
            "seconds_to_analyse_new": round(sum(known) / 1000 / rate, 1) if rate and known else None}


def forget(asked: Asked) -> dict[str, Any]:
    """Removes what this page's model has of a video: its features, and what there is of an analysis that was broken off."""
    return forget_analysis(asked.workbench, session_of(asked))


def open_path(asked: Asked) -> dict[str, Any]:
    """A video by its path; it must lie below a root and be one."""
    file = asked.workbench.library.open_path(asked.text("path"))
    headers = asked.workbench.headers.of(file)
    if headers.probe is None:
        raise not_found(f"the video {file.name!r}")
    return asked.workbench.video_record(asked.workbench.session_of(file))


def one_video(asked: Asked) -> dict[str, Any]:
    return asked.workbench.video_record(session_of(asked))


def frame(asked: Asked) -> Response:
    """The frame on screen at an instant, as JPEG."""
    from PIL import Image

    session = session_of(asked)
    time_ms, picture = frame_at(session.file.path, asked.parameter("time_ms", 0, 0, 1e12))
    side = int(asked.parameter("width", 640, 16, 1280))
    image = Image.fromarray(picture)
    image.thumbnail((side, side))
    kept = {"x-time-ms": f"{time_ms:.3f}", "cache-control": "private, max-age=600"}
    return Response(_jpeg(image), media_type="image/jpeg", headers=kept)


def _jpeg(image: Any) -> bytes:
    import numpy as np

    return jpeg(np.asarray(image))


def frame_times(asked: Asked) -> Response:
    """float64 milliseconds of every frame, in order of presentation: what a step by one frame means."""
    times = asked.workbench.frame_times(session_of(asked))
    return Response(times.astype("<f8").tobytes(), media_type="application/octet-stream",
                    headers={"cache-control": "private, max-age=3600"})


def sprites(asked: Asked) -> dict[str, Any]:
    session = session_of(asked)
    if asked.workbench.is_analysed(session):
        asked.workbench.make_thumbnails(session)
    sheets, video = session.thumbnails.sheets(), session.file.id
    return {"complete": sheets.complete, "revision": sheets.revision, "width": sheets.width, "height": sheets.height,
            "columns": COLUMNS, "rows": ROWS, "times_ms": sheets.times_ms,
            "sheets": [f"/api/videos/{video}/sprites/{number}?revision={sheets.revision}" for number in range(sheets.sheets)]}


def sprite_sheet(asked: Asked) -> Response:
    number = asked.path["number"]
    data = session_of(asked).thumbnails.sheet(int(number)) if number.isdecimal() and len(number) < 4 else None
    if data is None:
        raise not_found("this sheet of thumbnails")
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


def marks(asked: Asked) -> dict[str, Any]:
    found = session_of(asked).marks()
    return {"marks": [{"query": query, "time_ms": mark.time_ms, "state": mark.state}
                      for query, some in found.items() for mark in some]}


def mark(asked: Asked) -> dict[str, Any]:
    state = asked.content.get("state")
    if state not in ("keep", "reject", None):
        raise bad_request("state: allowed is keep, reject or null")
    query = asked.text("query", most=64)
    asked.workbench.book.get(query)
    session_of(asked).mark(query, asked.number("time_ms"), state)
    return marks(asked)


def make_proxy(asked: Asked) -> dict[str, Any]:
    """A copy that browsers play, as a job."""
    bench, session = asked.workbench, session_of(asked)
    form: Any = asked.content.get("format") or "webm"
    if form not in get_args(Format):
        raise bad_request(f"format: allowed is {', '.join(get_args(Format))}")
    target = bench.proxy_paths(session.content_id)[form]

    def work(job: Job) -> None:
        job.total = round(session.duration_ms)

        def advance(done_ms: float) -> None:
            job.control.check()
            job.advance(round(done_ms))

        encode_part(session.file.path, target, form, 0.0, float("inf"), advance)

    return bench.submit("proxy", session.file.id, work).record()


async def media(request: Request) -> Response:
    """The file itself; ranges are Starlette's."""
    return await _file(request, proxy=False)


async def proxy_media(request: Request) -> Response:
    return await _file(request, proxy=True)


async def _file(request: Request, *, proxy: bool) -> Response:
    bench = request.app.state.workbenches.first
    try:
        file: VideoFile = await run_in_threadpool(bench.library.get, request.path_params["video"])
        path = file.path
        if proxy:
            headers = await run_in_threadpool(bench.headers.of, file)
            made = [one for one in bench.proxy_paths(headers.content_id).values() if one.is_file()]
            if not made:
                raise not_found("a playable copy of this video")
            path = made[0]
    except Refusal as error:
        return refusal_response(error)
    return FileResponse(path, media_type=media_type(path), headers={"cache-control": "no-cache"})


ROUTES = [
    get("/api/videos", list_videos), post("/api/videos", open_path), get("/api/library", library),
    get("/api/videos/{video}", one_video), get("/api/videos/{video}/frame", frame),
    get("/api/videos/{video}/frame_times", frame_times), get("/api/videos/{video}/sprites", sprites),
    get("/api/videos/{video}/sprites/{number}", sprite_sheet), get("/api/videos/{video}/marks", marks),
    post("/api/videos/{video}/marks", mark), post("/api/videos/{video}/forget", forget),
    post("/api/videos/{video}/proxy", make_proxy),
    Route("/media/{video}", media, methods=["GET"]), Route("/media/{video}/proxy", proxy_media, methods=["GET"]),
]
