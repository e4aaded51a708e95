"""FAISS against looking at every vector: a million vectors of 512 float32, both through `VectorIndex`, batches alike.

The vectors: unit(centre + 0.75 u), 1,000 random unit centres, u random unit vectors; so two of one centre have a cosine of about
0.64. The queries: unit(a vector of the index + 0.5 u). Both sides search the same batches on the same threads; recall is the
share of the 10 exact neighbours that the other side finds.

Measured (structure=ivf, dtype=float32, 2 cores, faiss 1.15.1, torch 2.15): made in 37 s (training, adding, tuning, writing and
flushing 4.1 GB), 7.1 GB of memory beside the vectors; recall@10 0.9999 on 1,000 queries; batches of 1: 966 queries/s, 82 times
exact search's 11.7; batches of 100: 2,215 queries/s, 21 times its 107.

usage: python benchmarks/retrieval_faiss.py [--count 1000000] [--structure ivf] [--dtype float32] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import torch
from clipreel.models.base import EncoderIdentity
from clipreel.retrieval.index import VectorIndex
from clipreel.retrieval.index_files import IndexedVideo, IndexIdentity, Manifest, NewVideos
from clipreel.retrieval.index_update import update_index
from clipreel.retrieval.scan import Hits

DIM, CENTRES, NOISE, QUERY_NOISE, TOP = 512, 1000, 0.75, 0.5, 10
QUERIES = 1000


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def drawn(count: int) -> np.ndarray:
    """float32 [count, DIM]."""
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((CENTRES, DIM), dtype=np.float32))
    vectors = np.empty((count, DIM), dtype=np.float32)
    for begin in range(0, count, 100_000):
        part = vectors[begin:begin + 100_000]
        part[:] = NOISE * unit(rng.standard_normal(part.shape, dtype=np.float32)) + centres[rng.integers(0, CENTRES, len(part))]
        unit(part)
    return vectors


def per_query(search: Callable[[np.ndarray, int], Hits], queries: np.ndarray, batch: int, limit: float = 20.0) -> float:
    """Median seconds a query, in batches, for as long as the limit allows."""
    taken: list[float] = []
    for begin in range(0, len(queries) - batch + 1, batch):
        began = time.perf_counter()
        search(queries[begin:begin + batch], TOP)
        taken.append((time.perf_counter() - began) / batch)
        if sum(taken) * batch > limit and len(taken) >= 3:
            break
    return statistics.median(taken)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=1_000_000)
    arguments.add_argument("--structure", choices=["ivf", "hnsw"], default="ivf")
    arguments.add_argument("--dtype", choices=["float32", "float16", "int8", "binary"], default="float32")
    arguments.add_argument("--folder", default=tempfile.gettempdir())
    options = arguments.parse_args()
    vectors = drawn(options.count)
    rng = np.random.default_rng(1)
    members = rng.choice(options.count, QUERIES, replace=False)
    queries = unit(vectors[members] + QUERY_NOISE * unit(rng.standard_normal((QUERIES, DIM), dtype=np.float32)))
    identity = IndexIdentity(EncoderIdentity("clip", "drawn", None, "0" * 64, "float32", "center", "tensor"), "all")
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place, "index")
        videos = [IndexedVideo(str(number), 0, f"{number}_meta.json", str(number), "0" * 64, "") for number in range(options.count)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        update_index(folder, Manifest(identity, DIM, options.dtype, options.structure, ("/",)), NewVideos(videos, vectors))
        built = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        del vectors, videos
        index = VectorIndex.open(folder)
        approximate = index.manifest.approximate
        assert approximate is not None
        sizes = {what: sum(segment.files[what].size_bytes for segment in index.manifest.segments) / 1e9
                 for what in index.manifest.segments[0].files}
        sys.stdout.write(
            f"{options.count} x {DIM}, {options.structure}, dtype={options.dtype}, faiss {faiss.__version__} with "
            f"{faiss.omp_get_max_threads()} threads, torch with {torch.get_num_threads()}, {os.cpu_count()} cores\n"
            f"made in {built:.0f} s, {peak / 1e6:.2f} GB beside the vectors; FAISS's file {approximate.file.size_bytes / 1e9:.2f} "
            f"GB, vectors {sizes['vectors']:.2f} GB; effort {approximate.effort}, own recall {approximate.recall:.3f}\n")
        sys.stdout.flush()
        exact = np.concatenate([index.exact(queries[begin:begin + 100], TOP).rows for begin in range(0, QUERIES, 100)])
        found = np.concatenate([index.search(queries[begin:begin + 100], TOP).rows for begin in range(0, QUERIES, 100)])
        recall = np.mean([len(np.intersect1d(mine, right)) / TOP for mine, right in zip(found, exact, strict=True)])
        sys.stdout.write(f"recall@10 {recall:.4f} on {QUERIES} queries\n")
        for batch in (1, 100):
            slow, fast = per_query(index.exact, queries, batch), per_query(index.search, queries, batch)
            sys.stdout.write(f"batches of {batch:>3}: exact {1 / slow:.1f} queries/s, FAISS {1 / fast:.1f} queries/s, "
                             f"{slow / fast:.1f} times as many\n")


if __name__ == "__main__":
    main()
