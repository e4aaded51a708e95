"""`python main.py retrieval index` and `retrieval search`: what they print."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict

from ..configs.retrieval_search_schema import RetrievalIndexConfig, RetrievalSearchConfig

log = logging.getLogger("clipreel")


def index(config: RetrievalIndexConfig) -> int:
    """Returns the exit code: 1 when some video's features could not be used."""
    from .build_index import run

    done = run(config)
    change = done.change
    sys.stdout.write(f"{change.videos} videos: {change.added} added, {change.updated} updated, {change.deleted} deleted, "
                     f"{done.unchanged} unchanged ({done.seconds:.1f} s)\n{done.folder}\n")
    if done.approximate is not None:
        said = done.approximate
        log.info("FAISS %s: finds %.1f %% of the 10 exact neighbours of disturbed vectors of its own, at effort %d", said.kind,
                 100 * said.recall, said.effort)
    if done.gone:
        log.info("%d videos of the index are not stored below features= any more: they stay in it, prune=true takes them out",
                 done.gone)
    if done.unknown:
        log.warning("%d ids of delete= are none of the index's: %s", len(done.unknown), ", ".join(done.unknown[:3]))
    for failure in done.failed:
        log.warning("  failed: %s", failure.reason)
    return done.exit_code


def search(config: RetrievalSearchConfig) -> int:
    """Returns the exit code, 0."""
    from .search import run

    done = run(config)
    if config.json:
        sys.stdout.write(json.dumps({"videos": done.videos, "seconds": done.seconds,
                                     "results": [asdict(result) for result in done.results]}, ensure_ascii=False, indent=2) + "\n")
        return 0
    for result in done.results:
        sys.stdout.write(f"{result.query}\n rank   score  {'at' if config.rerank != 'none' else '':>9}  video\n")
        for video in result.videos:
            moment = "" if video.seconds is None else f"{video.seconds:.2f} s"
            sys.stdout.write(f"{video.rank:>5}  {video.score:>6.4f}  {moment:>9}  {video.video_id}  {video.source}\n")
    took = done.seconds
    log.info("%d videos searched in %.1f ms (opening the index %.0f, loading the model %.0f, texts %.1f, second look %.1f ms)",
             done.videos, *(1000 * took[name] for name in ("search", "open", "load", "encode", "rerank")))
    if cut := sum(result.cut for result in done.results):
        log.warning("%d texts are too long for the model: of those only the beginning counts", cut)
    return 0
