"""Queries, and what they give on a video: curves, segments, moments, exports, clips."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ...configs.investigator_schema import MOST_TEXTS
from ..clips import make_clips, plain_stem
from ..curves import binary, rule_of
from ..endpoint import Asked, get, number_of, post, refusal_response, workbench_of
from ..exports import MEDIA_TYPES, SEGMENT_FORMATS, ExportedVideo, QuerySegments, scores_csv, scores_json
from ..frame_picture import frame_at
from ..moments import best_moments, usual_distance_ms
from ..queries import Query
from ..refusal import Refusal, bad_request, not_found
from ..scores import WEAK_ODDS
from ..segments import Segment, precision, total_ms
from ..session import VideoSession
from .videos import session_of

UPLOAD_BYTES = 10 * 1024 * 1024
_PICTURE_TYPES = {"image/jpeg", "image/png", "image/webp"}
_MOST_REMEMBERED = 24
_REPHRASED = ("a photo of {}", "{} in the middle of the picture", "a close-up of {}")


def add_query(asked: Asked) -> dict[str, Any]:
    """A text, a frame of a video, or a picture that was uploaded before."""
    book, content = asked.workbench.book, asked.content
    if "text" in content:
        return book.text(asked.text("text")).record()
    if "image" in content:
        return book.uploaded(asked.text("image", most=64)).record()
    if "video" in content:
        session = asked.workbench.session(asked.text("video", most=64))
        time_ms, picture = frame_at(session.file.path, asked.number("time_ms"))
        label = f"{session.file.name} at {int(time_ms // 60000)}:{time_ms % 60000 / 1000:05.2f}"
        return book.frame(session.file.id, session.content_id, time_ms, picture, label).record()
    raise bad_request("allowed is text, video with time_ms, or image")


async def upload(request: Request) -> Response:
    """A picture as a query."""
    from starlette.responses import JSONResponse

    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _PICTURE_TYPES:
            raise Refusal(415, "wrong_type", f"allowed are {', '.join(sorted(_PICTURE_TYPES))}", "choose another file")
        data = b""
        async for piece in request.stream():
            data += piece
            if len(data) > UPLOAD_BYTES:
                raise Refusal(413, "too_large", f"the picture has more than {UPLOAD_BYTES} bytes", "make it smaller")
        bench = await run_in_threadpool(workbench_of, request)
        query: Query = await run_in_threadpool(bench.book.upload, data)
    except Refusal as error:
        return refusal_response(error)
    return JSONResponse(query.record())


def picture(asked: Asked) -> Response:
    data = asked.workbench.book.get(asked.path["query"]).picture
    if data is None:
        raise not_found("a picture of this query")
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


def curves(asked: Asked) -> Response:
    """Binary: see `curves.binary`."""
    session = session_of(asked)
    ids = asked.parameter_ids("q", most=MOST_TEXTS)
    made = asked.workbench.curves.curves(session, ids, asked.query.get("scale", "raw"))
    for query_id in ids:
        session.asked.pop(query_id, None)
        session.asked[query_id] = None
    while len(session.asked) > _MOST_REMEMBERED:
        session.asked.pop(next(iter(session.asked)))
    return Response(binary(session, made), media_type="application/octet-stream", headers={"cache-control": "no-store"})


def segments(asked: Asked) -> dict[str, Any]:
    revision, found = _segments(asked, session_of(asked), asked.content)
    return {"revision": revision, "total_ms": total_ms(found), "segments": [vars(one) for one in found],
            "precision": precision(found)}


def _segments(asked: Asked, session: VideoSession, content: dict[str, Any] | Any) -> tuple[int, list[Segment]]:
    query, scale = content.get("query"), content.get("scale", "raw")
    if not isinstance(query, str):
        raise bad_request("query: allowed is the id of a query")
    among = content.get("among") or []
    blocking = content.get("not") or []
    if not isinstance(among, list) or not isinstance(blocking, list) or len(among) + len(blocking) > 2 * MOST_TEXTS \
            or not all(isinstance(one, str) for one in among) or not all(isinstance(one, dict) for one in blocking):
        raise bad_request("among: allowed is a list of ids; not: a list of {query, threshold}")
    blocked_by = [(str(one.get("query")), number_of("threshold", one.get("threshold"))) for one in blocking]
    maker = asked.workbench.curves
    said = None
    if content.get("threshold") is None:
        ids = list(dict.fromkeys([query, *among])) if scale == "share" else [query]
        said = next(iter(maker.curves(session, ids, scale).judgements), None)
        if said is None:  # nothing is analysed yet
            return session.rows.revision, []
    snapshot, found = maker.segments(session, query, scale, rule_of(content, said), among=among, blocked_by=blocked_by)
    return snapshot.revision, found


def moments(asked: Asked) -> dict[str, Any]:
    """The best distinct moments of one query."""
    session, bench = session_of(asked), asked.workbench
    (query_id,) = asked.parameter_ids("q", most=1, least=1)
    count, scale = int(asked.parameter("count", 8, 1, 48)), asked.query.get("scale", "baseline")
    if scale not in ("raw", "baseline"):
        raise bad_request("scale: allowed is raw or baseline")
    snapshot, raw, odds = bench.curves.odds(session, query_id)
    query = bench.book.get(query_id)
    text = query.text
    rephrase = [form.format(text) for form in _REPHRASED if text and form.format("") not in text]
    if not len(snapshot):
        return {"stands_out": False, "moments": [], "rephrase": rephrase}
    curve = odds if scale == "baseline" else raw
    rows = best_moments(snapshot.times_ms, curve, count, apart_ms=usual_distance_ms(session.duration_ms, count),
                        features=snapshot.features)
    video = session.file.id
    return {"stands_out": bool(odds.max() >= WEAK_ODDS), "rephrase": rephrase, "moments": [
        {"time_ms": (time_ms := float(snapshot.times_ms[row])), "score": float(curve[row]), "raw": float(raw[row]),
         "odds": float(odds[row]), "picture": f"/api/videos/{video}/frame?time_ms={time_ms:.3f}&width=320"} for row in rows]}


def export(asked: Asked) -> Response:
    """Segments or scores of some queries as a file."""
    session, bench = session_of(asked), asked.workbench
    form, what = asked.one_of("format", tuple(SEGMENT_FORMATS)), asked.one_of("what", ("segments", "scores"), "segments")
    only = asked.one_of("only", ("kept", "not_rejected", "all"), "all")
    wanted = asked.objects("queries", most=MOST_TEXTS)
    if not wanted:
        raise bad_request("queries: allowed are 1 to 12 of them")
    session.load(bench.model.identity())
    settings = session.stored.provenance.settings.flat() if session.stored is not None else {}
    video = ExportedVideo(session.file.name, session.duration_ms, session.fps or float("nan"), settings)
    if what == "segments":
        found = []
        for one in wanted:
            rule = {name: value for name, value in one.items() if name not in ("query", "among", "not")}
            kept = [segment for segment in _segments(asked, session, one)[1] if segment.state in _STATES[only]]
            found.append(QuerySegments(bench.book.get(str(one.get("query"))).label, kept, rule))
        text = SEGMENT_FORMATS[form](video, found)
    else:
        if form not in ("csv", "json"):
            raise bad_request("scores are exported as csv or json")
        scale = wanted[0].get("scale", "raw")
        made = bench.curves.curves(session, [str(one.get("query")) for one in wanted], scale)
        labels = [bench.book.get(query_id).label for query_id in made.query_ids]
        times, scores = made.snapshot.times_ms, np.asarray(made.scores)
        text = scores_csv(times, labels, scores) if form == "csv" else scores_json(video, times, labels, scores)
    name = f"{plain_stem(session.file.path)}_{what}.{'txt' if form == 'chapters' else form}"
    return Response(text, media_type=MEDIA_TYPES[form], headers={
        "content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"})


_STATES = {"kept": ("keep",), "not_rejected": ("keep", None), "all": ("keep", "reject", None)}


def clips(asked: Asked) -> dict[str, Any]:
    """Segments cut out, as a job."""
    mode = asked.one_of("mode", ("copy", "exact"), "exact")
    padding = asked.number("padding_ms", 0.0)
    spans = [(number_of("begin_ms", one.get("begin_ms")), number_of("end_ms", one.get("end_ms")))
             for one in asked.objects("segments", most=200)]
    return make_clips(asked.workbench, session_of(asked), spans, mode, padding).record()


def clip(asked: Asked) -> Response:
    number = asked.path["number"]
    job = asked.workbench.jobs.get(asked.path["job"])
    files = asked.workbench.clip_files.get(job.id, [])
    if not (number.isdecimal() and len(number) < 4 and int(number) < len(files)) or not files[int(number)].is_file():
        raise not_found("this clip")
    path = files[int(number)]
    return FileResponse(path, filename=path.name)


ROUTES = [
    post("/api/queries", add_query), Route("/api/queries/image", upload, methods=["POST"]),
    get("/api/queries/{query}/picture", picture),
    get("/api/videos/{video}/curves", curves), post("/api/videos/{video}/segments", segments),
    get("/api/videos/{video}/moments", moments), post("/api/videos/{video}/export", export),
    post("/api/videos/{video}/clips", clips), get("/api/clips/{job}/{number}", clip),
]
