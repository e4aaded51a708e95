"""Requests of several clients in one batch; a full queue; what a lone client waits for."""

import itertools
import threading
import time

import numpy as np
import pytest
from clipreel import serve_encoder
from clipreel.serving.batcher import Batcher
from clipreel.tests.serving.calls import at_once, call, encoded, file_of, texts, unit


def queued(url, count):
    """Returns when so many texts and images lie before the devices."""
    deadline = time.monotonic() + 30
    while (said := call(url, path="/info").json["counters"]["queued"]) != count:
        assert time.monotonic() < deadline, said
        time.sleep(0.005)


@pytest.mark.parametrize(("batch_size", "sizes"), [(32, [1, 15]), (4, [1, 4, 4, 4, 3])])
def test_what_waits_goes_together(gated, tiny, drawings, batch_size, sizes):
    files = [file_of(picture) for picture in (drawings * 2)[:16]]
    files = [file + bytes([number]) for number, file in enumerate(files)]  # behind a picture's end: another content
    with serve_encoder(gated, port=0, batch_size=batch_size) as running:
        def one(file):
            return lambda: call(running.url, "POST", "/embed?format=raw&normalize=false", file, "image/png")

        with at_once(one(files[0])) as first:
            assert gated.arrived.acquire(timeout=30)
            with at_once(*(one(file) for file in files[1:])) as rest:
                queued(running.url, 15)
                gated.open.set()
        assert gated.sizes == sizes
        assert call(running.url, path="/info").json["counters"]["batches"] == len(sizes)
        rows = np.concatenate([answer.rows for answer in [*first, *rest]])
        np.testing.assert_allclose(rows, encoded(tiny, (drawings * 2)[:16]), rtol=1e-4, atol=1e-5)


def test_a_request_may_be_larger_than_a_batch(gated, tiny):
    sentences = [f"number {number}" for number in range(11)]
    gated.open.set()
    with serve_encoder(gated, port=0, batch_size=4) as running:
        np.testing.assert_allclose(texts(running.url, sentences).rows, unit(tiny.encode_text(sentences).numpy()), atol=1e-6)
    assert gated.sizes == [4, 4, 3]


def test_one_bad_text_fails_only_its_own_request(gated, tiny):
    with serve_encoder(gated, port=0) as running, at_once(lambda: texts(running.url, ["first"])):
        assert gated.arrived.acquire(timeout=30)
        with at_once(*(lambda sentence=sentence: texts(running.url, [sentence]) for sentence in ("good", "word " * 90, "better"))
                     ) as answers:
            queued(running.url, 3)
            gated.open.set()
    good, bad, better = answers
    assert (good.status, bad.status, better.status) == (200, 422, 200)
    np.testing.assert_allclose(better.rows, unit(tiny.encode_text(["better"]).numpy()), atol=1e-6)


def test_texts_and_pictures_take_turns(gated, drawings):
    with serve_encoder(gated, port=0) as running:
        with at_once(lambda: texts(running.url, ["first"])):
            assert gated.arrived.acquire(timeout=30)
            files = [file_of(picture) for picture in drawings[:5]]
            with at_once(*(lambda n=n: texts(running.url, [f"number {n}"]) for n in range(5)),
                         *(lambda file=file: call(running.url, "POST", "/embed", file, "image/png") for file in files)) as answers:
                queued(running.url, 10)
                gated.open.set()
        assert [answer.status for answer in answers] == [200] * 10
    assert sorted(gated.sizes) == [1, 5, 5]


def test_a_full_queue_says_when_to_come_again(gated):
    with serve_encoder(gated, port=0, queue_length=3, max_images=3, max_texts=3) as running:
        with at_once(lambda: texts(running.url, ["a", "b"])) as held:
            assert gated.arrived.acquire(timeout=30)
            refused = texts(running.url, ["c", "d"])
            assert (refused.status, "waiting already" in refused.error) == (429, True)
            assert 1 <= int(refused.headers["retry-after"]) <= 30
            with at_once(lambda: texts(running.url, ["e"])) as fits:
                queued(running.url, 1)
                gated.open.set()
        assert (held[0].status, fits[0].status) == (200, 200)
        assert texts(running.url, ["c", "d"]).status == 200
        assert call(running.url, path="/info").json["counters"]["refused"] == 1


def test_a_lone_client_never_waits_for_others(tiny):
    with serve_encoder(tiny, port=0, max_wait_ms=2000) as running:
        texts(running.url, ["warm"])
        began = time.monotonic()
        for number in range(10):
            texts(running.url, [f"number {number}"])
        assert time.monotonic() - began < 2.0


def test_clients_that_were_served_together_are_waited_for(gated):
    """Two come back at different times: with a wait they share the next batch, without one they do not."""
    def sizes(max_wait_seconds):
        gated.shut()
        batcher = Batcher([gated], 32, max_wait_seconds)
        batcher.start()
        blocked = batcher.submit("texts", ["block"])
        assert gated.arrived.acquire(timeout=30)
        together = [batcher.submit("texts", [word]) for word in ("one", "two")]
        gated.open.set()
        for future in (blocked, *together):
            future.result(30)
        again = [batcher.submit("texts", ["three"])]
        time.sleep(0.1)
        again.append(batcher.submit("texts", ["four"]))
        for future in again:
            future.result(30)
        batcher.stop()
        return list(gated.sizes)

    assert sizes(5.0) == [1, 2, 2]
    assert sizes(0.0) == [1, 2, 1, 1]


def test_two_devices_share_one_queue(tiny):
    """Two replicas on the CPU: while one holds a batch the other goes on."""
    held = threading.Event()

    class Slow:
        def __getattr__(self, name):
            return getattr(tiny, name)

        def encode_text(self, texts):
            if texts == ["slow"]:
                assert held.wait(30)
            return tiny.encode_text(texts)

    batcher = Batcher([Slow(), Slow()], 1, 0.005)  # pyright: ignore[reportArgumentType]
    batcher.start()
    slow = batcher.submit("texts", ["slow"])
    quick = [batcher.submit("texts", [f"number {number}"]) for number in range(5)]
    for future in quick:
        assert future.result(30).shape == (1, 64)
    assert not slow.done()
    held.set()
    assert slow.result(30).shape == (1, 64)
    batcher.stop()
    assert not batcher.alive
    with pytest.raises(RuntimeError, match="stopped"):
        batcher.submit("texts", ["late"])


def test_memory_that_runs_out_halves_the_batch(tiny):
    import torch

    sizes = []

    class Small:
        """Fails as a device does that has room for three crops."""

        def __getattr__(self, name):
            return getattr(tiny, name)

        def encode(self, frames):
            sizes.append(len(frames))
            if len(frames) > 3:
                raise torch.OutOfMemoryError("no room")
            return tiny.encode(frames)

    batcher = Batcher([Small()], 16, 0.0)  # pyright: ignore[reportArgumentType]
    batcher.start()
    crops = np.random.default_rng(0).integers(0, 256, (13, 3, 64, 64), dtype=np.uint8)
    features = batcher.submit((3, 64, 64), crops).result(60)
    np.testing.assert_allclose(features, tiny.encode(torch.from_numpy(crops)).numpy(), rtol=1e-4, atol=1e-5)
    batcher.submit((3, 64, 64), crops).result(60)
    batcher.stop()
    assert sizes[:2] == [13, 6]
    assert all(size <= 3 for size in sizes[3:])


def test_an_encoder_s_error_is_an_answer_and_not_the_end(tiny):
    class Broken:
        def __getattr__(self, name):
            return getattr(tiny, name)

        def encode_text(self, texts):
            if "break" in texts:
                raise ZeroDivisionError("a cable")
            return tiny.encode_text(texts)

    with serve_encoder(Broken(), port=0) as running:  # pyright: ignore[reportArgumentType]
        failed = texts(running.url, ["break"])
        assert (failed.status, "a cable" in failed.error) == (500, True)
        assert texts(running.url, ["go on"]).status == 200
        assert call(running.url).status == 200


def test_many_clients_get_their_own(tiny):
    """160 requests of 16 clients, none mixed up."""
    sentences = [f"number {number}" for number in range(160)]
    expected = unit(tiny.encode_text(sentences).numpy())
    with serve_encoder(tiny, port=0) as running:
        def client(own):
            return lambda: [texts(running.url, [sentences[number]]).rows[0] for number in own]

        with at_once(*(client(range(start, 160, 16)) for start in range(16))) as answers:
            pass
        counters = call(running.url, path="/info").json["counters"]
    rows = list(itertools.chain.from_iterable(zip(*answers, strict=True)))
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert counters["encoded"] == 160
    assert counters["batches"] < 120, "some went together"
