"""One pair's result for people: `report.html`, a page that needs nothing else, and `differences.json`."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from ..errors import ClipreelError
from ..extract.decode.at import frames_at
from .judges.openai import jpeg_uri
from .records import Clip, Localization, Track, Verdict
from .run import PairResult

VERDICT_WORDS = {"a": "A more", "b": "B more", "none": "no clear difference",
                 "undecided": "could not judge (the judge's two answers disagree)", "invalid": "could not judge"}
_PICTURE_SIDE = 320
_HUES = (210, 30, 130, 280, 0, 60)  # of the stages' ribbons
_STYLE = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1b1b1f;--soft:#63636b;--line:#d9d9df;--card:#f6f6f8}
@media(prefers-color-scheme:dark){:root{--ground:#141417;--ink:#ececf1;--soft:#a2a2ad;--line:#34343c;--card:#1d1d22}}
body{font:16px/1.5 system-ui,sans-serif;background:var(--ground);color:var(--ink);max-width:66rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:0 0 .3rem}.soft{color:var(--soft)}
article{border:1px solid var(--line);background:var(--card);border-radius:.6rem;padding:1rem;margin:1rem 0}
.sides{display:grid;grid-template-columns:1fr 1fr;gap:1rem}.strip{display:flex;gap:.4rem;flex-wrap:wrap}
figure{margin:0}figure img{max-width:100%;border-radius:.3rem;display:block}figcaption{font-size:.85rem;color:var(--soft)}
.verdict{font-weight:600}svg{width:100%;height:auto;display:block}svg text{fill:var(--ink);font-size:11px}
@media(max-width:40rem){.sides{grid-template-columns:1fr}}
"""


def differences_record(result: PairResult) -> dict[str, Any]:
    """Everything that the page shows but the pictures."""
    assert result.proposal is not None
    assert result.tracks is not None
    assert result.localizations is not None
    verdicts = {verdict.difference_id: verdict for verdict in result.verdicts}
    sides = list(zip("ab", result.pair.clips, result.tracks, result.localizations, strict=True))
    return {
        "action": result.pair.action_description,
        "videos": {side: str(clip.path) for side, clip, _, _ in sides},
        "stages": [{"id": stage.id, "name": stage.name, **{side: _seconds(track, localization, number)
                                                           for side, _, track, localization in sides}}
                   for number, stage in enumerate(result.proposal.stages)],
        "differences": [{
            "id": one.id, "name": one.name, "statement": one.statement, "answer": verdicts[one.id].answer,
            "verdict": VERDICT_WORDS[verdicts[one.id].answer], "confidence": verdicts[one.id].confidence,
            "explanation": verdicts[one.id].explanation,
            "stages": [result.proposal.stages[place].id for place in result.proposal.stages_of(one.id)],
            **{f"{side}_seconds": [round(float(track.timestamps_seconds[frame]), 3) for frame in localization.chosen[one.id].frames]
               for side, _, track, localization in sides},
        } for one in result.proposal.differences if one.id in verdicts],
    }


def page(result: PairResult, judge: str) -> str:
    """The whole page; every text from outside is escaped."""
    record = differences_record(result)
    assert result.tracks is not None
    assert result.localizations is not None
    sides = list(zip("AB", result.pair.clips, result.tracks, result.localizations, strict=True))
    names = [stage["name"] for stage in record["stages"]]
    ribbons = "".join(f"<h2>{side}: {_text(clip.path.name)}</h2>{_ribbon(track, localization, names)}"
                      for side, clip, track, localization in sides)
    articles = "".join(_article(result, one, verdict) for one, verdict in zip(record["differences"], result.verdicts, strict=True))
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>Differences: {_text(record['action'])}</title><style>{_STYLE}</style></head><body>"
            f"<h1>{_text(record['action'])}</h1><p class=\"soft\">A is {_text(record['videos']['a'])}, B is "
            f"{_text(record['videos']['b'])}. Judged by {_text(judge)}.</p>{articles}<h1>Stages</h1>{ribbons}</body></html>\n")


def _article(result: PairResult, one: dict[str, Any], verdict: Verdict) -> str:
    assert result.tracks is not None
    assert result.localizations is not None
    confidence = "" if verdict.confidence is None else f", confidence {verdict.confidence:.2f}"
    sides = "".join(
        f'<div><div class="strip">{_figures(clip, track, localization, verdict.difference_id, side)}</div></div>'
        for side, clip, track, localization in zip("AB", result.pair.clips, result.tracks, result.localizations, strict=True))
    return (f'<article><h2>{_text(one["statement"])}</h2><p class="verdict">{_text(one["verdict"])}{confidence}</p>'
            f'<div class="sides">{sides}</div><p class="soft">{_text(verdict.explanation)}</p></article>')


def _figures(clip: Clip, track: Track, localization: Localization, difference_id: str, side: str) -> str:
    frames = list(localization.chosen[difference_id].frames)
    try:
        pixels = frames_at(clip.path, track.file_timestamps_ms[frames], fps=clip.fps if clip.path.is_dir() else None).pixels
    except ClipreelError as error:
        return f"<p>{_text(str(error))}</p>"
    figures = []
    for picture, seconds in zip(pixels, track.timestamps_seconds[frames], strict=True):
        caption = f"{side}, {seconds:.2f} s"
        figures.append(f'<figure><img src="{jpeg_uri(picture, _PICTURE_SIDE)}" alt="{caption}"><figcaption>{caption}</figcaption>'
                       "</figure>")
    return "".join(figures)


def _ribbon(track: Track, localization: Localization, names: list[str]) -> str:
    """The stages' spans over time, and below each stage's similarity with the frames."""
    times, segments = track.timestamps_seconds, localization.segmentation.segments
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    scale = 1000 / (float(times[-1]) + step)
    curves = localization.segmentation.curves
    low, high = float(curves.min()), float(curves.max())
    parts = []
    for number, ((begin, end), name) in enumerate(zip(segments, names, strict=True)):
        hue, left = _HUES[number % len(_HUES)], times[begin] * scale
        width = ((times[end] if end < len(times) else times[-1] + step) - times[begin]) * scale
        parts.append(f'<rect x="{left:.1f}" y="0" width="{width:.1f}" height="22" fill="hsl({hue} 60% 55% / .45)"/>'
                     f'<text x="{left + 4:.1f}" y="15">{_text(name)}</text>')
        points = " ".join(f"{time * scale:.1f},{112 - 84 * (value - low) / max(high - low, 1e-9):.1f}"
                          for time, value in zip(times.tolist(), curves[number].tolist(), strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="hsl({hue} 60% 50%)" stroke-width="1.5"/>')
    marks = "".join(f'<text x="{place * 200}" y="130">{place * 200 / scale:.1f} s</text>' for place in range(5))
    return f'<svg viewBox="0 0 1000 134" role="img" aria-label="stages over time">{"".join(parts)}{marks}</svg>'


def _seconds(track: Track, localization: Localization, stage: int) -> list[float]:
    begin, end = localization.segmentation.segments[stage]
    return [round(float(track.timestamps_seconds[begin]), 3), round(float(track.timestamps_seconds[end - 1]), 3)]


def _text(value: str) -> str:
    return html.escape(value, quote=True)
