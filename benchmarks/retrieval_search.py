"""Searching a gallery of videos with 12 frames each, 512-d: one stored vector a video against aggregation anew for every query.

All sides: exact, float32, torch's matrix products on the same threads, the best 10 of each query, everything in memory, and all
that does not depend on the query made beforehand:

  stored vectors    one unit vector a video: a matrix product.
  Q-Score           weights = softmax(text . frames / T), the weighted mean's cosine. Beforehand: unit frames, and each video's
                    products of frames with frames, by which the mean's length needs no sum of frames.
  X-Pool            one head of cross-attention from text to frames, output projection, layer norm, linear layer with residual,
                    layer norm, cosine (Gorti et al., CVPR 2022). Beforehand: keys, and values with the output projection in them.

Measured, 2 cores of an Intel Xeon, torch 2.15, milliseconds for all queries together (times stored vectors); never run on a GPU:

              1,000 videos              10,000                    100,000
              1 query     100 queries   1 query     100 queries   1 query     100 queries
  stored      0.03        0.47          0.41        4.16          8.22        45.1
  Q-Score     0.72 (23)   18.2 (39)     11.8 (29)   196 (47)      113 (14)    1774 (39)
  X-Pool      4.28 (136)  241 (517)     45.3 (111)  2424 (582)    439 (53)    25590 (568)

usage: python benchmarks/retrieval_search.py [--galleries 1000 10000 100000] [--queries 1 100] [--device cpu] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

FRAMES, DIM, TOP, TEMPERATURE = 12, 512, 10, 0.1
BLOCK_SCORES = {"cpu": 1 << 16, "cuda": 1 << 22}  # videos times queries at a time: what lies between the products stays in a
# CPU's cache, and fills a GPU (X-Pool: 0.7 GB)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    return functional.normalize(vectors, dim=-1)


def blocks(count: int, texts: torch.Tensor) -> Iterator[slice]:
    step = max(64, BLOCK_SCORES[texts.device.type] // (len(texts) * FRAMES))
    return (slice(begin, min(begin + step, count)) for begin in range(0, count, step))


def stored_vectors(count: int, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    vectors = unit(torch.randn(count, DIM, device=device))  # [n, D]
    return lambda texts: texts @ vectors.T


def q_score(count: int, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    frames = unit(torch.randn(count, FRAMES, DIM, device=device))  # [n, k, D]
    products = frames @ frames.transpose(1, 2)  # [n, k, k]
    flat = frames.view(-1, DIM)

    def search(texts: torch.Tensor) -> torch.Tensor:
        scores = torch.empty(len(texts), count, device=device)
        for part in blocks(count, texts):
            likeness = (texts @ flat[part.start * FRAMES:part.stop * FRAMES].T).view(len(texts), -1, FRAMES)  # [Q, b, k]
            weights = torch.softmax(likeness / TEMPERATURE, dim=-1)
            weighted = torch.matmul(weights.transpose(0, 1), products[part])  # [b, Q, k]
            squared = (weighted.transpose(0, 1) * weights).sum(-1)
            scores[:, part] = (weights * likeness).sum(-1) * squared.rsqrt()
        return scores

    return search


def x_pool(count: int, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    keys = torch.randn(count, FRAMES, DIM, device=device)  # of layer-normed, projected frames
    values = torch.randn(count, FRAMES, DIM, device=device)  # the same, with the output projection
    query, linear = (torch.nn.Linear(DIM, DIM, device=device) for _ in range(2))
    norms = [torch.nn.LayerNorm(DIM, device=device) for _ in range(3)]
    flat = keys.view(-1, DIM)

    def search(texts: torch.Tensor) -> torch.Tensor:
        asked = query(norms[0](texts)) / DIM ** 0.5  # [Q, D]
        scores = torch.empty(len(texts), count, device=device)
        for part in blocks(count, texts):
            attention = (asked @ flat[part.start * FRAMES:part.stop * FRAMES].T).view(len(texts), -1, FRAMES).softmax(-1)
            pooled = norms[1](torch.matmul(attention.transpose(0, 1), values[part]))  # [b, Q, D]
            pooled = norms[2](pooled + linear(pooled))
            along = torch.einsum("bqd,qd->qb", pooled, texts)
            scores[:, part] = along / pooled.norm(dim=-1).T
        return scores

    return search


METHODS = {"stored vectors": stored_vectors, "Q-Score": q_score, "X-Pool": x_pool}


@torch.inference_mode()
def seconds(search: Callable[[torch.Tensor], torch.Tensor], queries: int, device: str, rounds: int) -> float:
    """Median; rounds that would take long are fewer."""
    taken: list[float] = []
    while len(taken) < rounds + 1 and sum(taken) < 45:
        texts = unit(torch.randn(queries, DIM, device=device))
        torch.get_device_module(device).synchronize()
        began = time.perf_counter()
        best = search(texts).topk(TOP)
        best.indices.cpu()  # waits for a GPU
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:] or taken)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--galleries", type=int, nargs="+", default=[1000, 10_000, 100_000])
    arguments.add_argument("--queries", type=int, nargs="+", default=[1, 100])
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    torch.manual_seed(0)
    sys.stdout.write(f"{options.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32\n")
    for count in options.galleries:
        times: dict[tuple[str, int], float] = {}
        with torch.inference_mode():
            for name, make in METHODS.items():
                search = make(count, options.device)
                for queries in options.queries:
                    times[name, queries] = seconds(search, queries, options.device, options.rounds)
                del search
        for queries in options.queries:
            base = times["stored vectors", queries]
            words = [f"{name} {1000 * times[name, queries]:.2f} ms ({times[name, queries] / base:.0f}x)" for name in METHODS]
            sys.stdout.write(f"{count:>7} videos, {queries:>3} queries: {', '.join(words)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
