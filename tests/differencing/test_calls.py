"""Calls over real HTTP: what goes wrong at a server, what is kept, what is paid for."""

import base64
import json
import sqlite3
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from clipreel.differencing.cache import AnswerCache, StoredAnswer
from clipreel.differencing.calls import LanguageClient
from clipreel.differencing.request import AnswerError, Request
from clipreel.errors import ConfigError
from clipreel.tests.differencing.conftest import completion, drop, hang

SCHEMA = {"type": "object", "required": ["answer"], "additionalProperties": False,
          "properties": {"answer": {"type": "string", "enum": ["a", "b"]}}}
GOOD = json.dumps({"answer": "a"})


def question(content: Any = "which?", **changes):
    return Request("q", changes.pop("model", "m"), "system", content, changes.pop("schema", SCHEMA), **changes)


@pytest.fixture
def cache(tmp_path):
    cache = AnswerCache(tmp_path / "answers.sqlite")
    yield cache
    cache.close()


def client(server, cache=None, **options):
    return LanguageClient(cache, base_url=server.url, **options)


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize("wrong", ["no JSON {", '{"answer": "A"}', "[]", "", '{"answer": NaN}', '{"answer": "a", "more": 1}'])
def test_a_wrong_answer_is_told_its_faults_and_only_the_good_one_is_kept(serve, cache, wrong):
    server = serve(lambda body, number: wrong if number == 0 else GOOD)
    asking = client(server, cache)
    assert asking.one(question()) == {"answer": "a"}
    roles = [message["role"] for message in server.requests[1]["messages"]]
    if wrong:
        assert roles == ["system", "user", "assistant", "user"]
        assert server.requests[1]["messages"][2]["content"] == wrong
        assert "cannot be used" in server.requests[1]["messages"][3]["content"]
    else:  # there is nothing to show: asked anew, with another seed
        assert roles == ["system", "user"]
        assert server.requests[1]["seed"] != server.requests[0]["seed"]
    assert (asking.spending.calls, asking.spending.repaired, asking.spending.failed) == (2, 1, 0)
    assert client(server, cache).ask([question()])[0].from_cache
    assert len(server.requests) == 2


@pytest.mark.parametrize("text", [f"```json\n{GOOD}\n```", f"Of course! {GOOD} Anything else?", f"<think>if a</think>\n{GOOD}"])
def test_words_around_an_answer_are_no_fault(serve, text):
    server = serve(lambda body, number: text)
    assert client(server).one(question()) == {"answer": "a"}
    assert len(server.requests) == 1


def test_complaints_of_the_check_are_told_and_bounded(serve, cache):
    server = serve(lambda body, number: GOOD)
    asking = client(server, cache)
    (reply,) = asking.ask([question(check=lambda value: ["it must not be so"])])
    assert reply.value is None
    assert reply.is_unusable
    assert "must not be so" in (reply.error or "")
    assert len(server.requests) == 3  # asked, told, asked anew
    assert "must not be so" in server.requests[1]["messages"][-1]["content"]
    assert [message["role"] for message in server.requests[2]["messages"]] == ["system", "user"]
    assert server.requests[2]["seed"] != server.requests[0]["seed"]
    assert cache.get(question().key) is None
    with pytest.raises(AnswerError, match="must not be so"):
        asking.one(question(check=lambda value: ["it must not be so"]))


def test_a_refusal_is_no_answer_and_is_not_asked_again(serve, cache):
    server = serve(lambda body, number: (200, {}, completion(None, refusal="I will not")))
    (reply,) = client(server, cache).ask([question()])
    assert reply.is_unusable
    assert "refused (I will not)" in (reply.error or "")
    assert len(server.requests) == 1
    assert cache.get(question().key) is None


def test_a_filtered_answer_is_a_refusal(serve):
    server = serve(lambda body, number: (200, {}, completion("", finish_reason="content_filter")))
    assert "refused" in (client(server).ask([question()])[0].error or "")


def test_a_cut_off_answer_gets_more_room(serve, cache):
    server = serve(lambda body, number: GOOD if body["max_tokens"] > 2048 else (200, {}, completion(GOOD, finish_reason="length")))
    assert client(server, cache).one(question()) == {"answer": "a"}
    assert [body["max_tokens"] for body in server.requests] == [2048, 4096]
    assert cache.get(question().key) is not None  # under the question as it was put


def test_an_answer_that_is_always_cut_off_is_given_up(serve):
    server = serve(lambda body, number: (200, {}, completion(GOOD, finish_reason="length")))
    (reply,) = client(server).ask([question()])
    assert reply.is_unusable
    assert "cut off after 8192 tokens" in (reply.error or "")
    assert len(server.requests) == 3


def test_retry_after_is_waited_for(serve):
    times = []

    def script(body, number):
        times.append(time.monotonic())
        return (429, {"Retry-After": "1"}, b'{"error": {"message": "slow down"}}') if number == 0 else GOOD

    assert client(serve(script)).one(question()) == {"answer": "a"}
    assert 1.0 <= times[1] - times[0] < 4


def test_a_server_error_passes_or_is_said(serve):
    server = serve(lambda body, number: GOOD if number == 1 else (503, {}, b"busy"))
    assert client(server).one(question()) == {"answer": "a"}
    (reply,) = client(server, retries=1).ask([question("another")])
    assert not reply.is_unusable
    assert "answered 503" in (reply.error or "")
    assert len(server.requests) == 4


def cut(handler):
    """A part of an answer, and then the end of the connection."""
    data = completion(GOOD)
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[:-20])
    handler.wfile.flush()
    drop(handler)


@pytest.mark.parametrize("how", [hang, drop, cut])
def test_a_hang_or_a_broken_connection_is_tried_again_and_then_said(serve, how):
    server = serve(lambda body, number: GOOD if number == 1 else how)
    assert client(server, timeout_seconds=0.3).one(question()) == {"answer": "a"}
    began = time.monotonic()
    (reply,) = client(server, timeout_seconds=0.3, retries=0).ask([question("another")])
    assert time.monotonic() - began < 2
    assert not reply.is_unusable
    assert "cannot be asked" in (reply.error or "")


def test_a_server_that_is_not_there_is_said():
    asking = LanguageClient(None, base_url="http://127.0.0.1:9/v1", retries=0)
    assert "http://127.0.0.1:9/v1 cannot be asked" in (asking.ask([question()])[0].error or "")


@pytest.mark.parametrize("body", [b"<html>not yours</html>", b'{"choices": []}', b'{"choices": [{}]}', b"[]", b"null",
                                  b'{"choices": [{"message": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": null}}'])
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_what_is_no_chat_completion_is_a_failed_reply(serve, body, kind):
    (reply,) = client(serve(lambda *_: (200, {"Content-Type": kind}, body))).ask([question()])
    assert reply.value is None
    assert reply.error


def test_a_400_is_said_and_not_repeated(serve):
    server = serve(lambda *_: (400, {}, b'{"error": {"message": "2 images expected, 3 given"}}'))
    (reply,) = client(server).ask([question()])
    assert "answered 400" in (reply.error or "")
    assert "2 images expected" in (reply.error or "")
    assert len(server.requests) == 1


def test_a_parameter_that_a_newer_model_refuses_is_left_out_from_then_on(serve, cache):
    def script(body, number):
        for name, code in (("max_tokens", "unsupported_parameter"), ("temperature", "unsupported_value")):
            if name in body:
                return 400, {}, json.dumps({"error": {"message": f"no {name}", "param": name, "code": code}}).encode()
        return GOOD

    server = serve(script)
    asking = client(server, cache)
    assert asking.one(question()) == {"answer": "a"}
    assert asking.one(question("another")) == {"answer": "a"}
    assert [("max_tokens" in body, "temperature" in body, body.get("max_completion_tokens")) for body in server.requests] == [
        (True, True, None), (False, True, 2048), (False, False, 2048), (False, False, 2048)]
    assert cache.get(question().key) is not None
    other = serve(lambda *_: (400, {}, b'{"error": {"message": "m", "param": "messages", "code": "unsupported_value"}}'))
    assert "answered 400" in (client(other).ask([question("third")])[0].error or "")
    assert len(other.requests) == 1


def test_no_more_requests_at_once_than_allowed_and_equal_ones_once(serve):
    lock, now, most = threading.Lock(), [0], [0]

    def script(body, number):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.03)
        with lock:
            now[0] -= 1
        return json.dumps({"answer": "b" if "7" in body["messages"][1]["content"] else "a"})

    server = serve(script)
    replies = client(server, concurrency=3).ask([question(str(number % 12)) for number in range(24)])
    assert most[0] == 3
    assert len(server.requests) == 12
    assert [reply.value["answer"] for reply in replies] == [("b" if number % 12 == 7 else "a") for number in range(24)]


def test_one_bad_question_does_not_spoil_the_others(serve, cache):
    server = serve(lambda body, number: (400, {}, b"{}") if body["messages"][1]["content"] == "bad" else GOOD)
    asking = client(server, cache)
    replies = asking.ask([question("good"), question("bad"), question("fine")])
    assert [reply.error is None for reply in replies] == [True, False, True]
    assert (asking.spending.calls, asking.spending.failed) == (2, 1)


def test_replay_never_calls_out(serve, cache, tmp_path):
    server = serve(lambda *_: GOOD)
    client(server, cache).one(question())
    replaying = LanguageClient(AnswerCache(tmp_path / "answers.sqlite", read_only=True), base_url=server.url, cache_mode="replay")
    here, absent = replaying.ask([question(), question("another")])
    replaying.close()
    assert here.value == {"answer": "a"}
    assert "no answer to it is in the cache" in (absent.error or "")
    assert not absent.is_unusable
    assert len(server.requests) == 1


def test_off_neither_reads_nor_writes(serve, cache):
    server = serve(lambda *_: GOOD)
    for _ in range(2):
        client(server, cache, cache_mode="off").one(question())
    assert len(server.requests) == 2
    assert cache.get(question().key) is None


def test_an_answer_that_an_older_check_let_through_is_asked_for_again(serve, cache):
    cache.put(question().key, StoredAnswer("m", '{"answer": "c"}', 1, 1, 0.1))
    server = serve(lambda *_: GOOD)
    assert client(server, cache).one(question()) == {"answer": "a"}
    assert client(server, cache).ask([question()])[0].from_cache
    assert len(server.requests) == 1


def picture(data, detail="high"):
    uri = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": uri, "detail": detail}}]


def test_the_key_is_of_the_whole_request(monkeypatch):
    base = question(picture(b"1"))
    others = [question(picture(b"2")), question(picture(b"1", "low")), question(picture(b"1"), seed=1),
              question(picture(b"1"), model="n"), question(picture(b"1"), temperature=1.0), question(picture(b"1"), max_tokens=9),
              question(picture(b"1"), schema={**SCHEMA, "required": []}), question([*picture(b"1"), *picture(b"1")])]
    assert len({base.key, *(other.key for other in others)}) == 1 + len(others)
    assert question(picture(b"1")).key == base.key
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert question(picture(b"1")).key == base.key


def test_the_secret_goes_to_the_server_alone(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = serve(lambda body, number: GOOD if number else (401, {}, b'{"error": {"message": "wrong key"}}'))
    cache = AnswerCache(tmp_path / "answers.sqlite")
    asking = client(server, cache)
    assert "sk-secret" not in (asking.ask([question()])[0].error or "")
    asking.one(question())
    assert server.headers[1]["authorization"] == "Bearer sk-secret"
    asking.close()
    assert b"sk-secret" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_what_strict_mode_refuses_is_not_sent_and_still_held_to(serve):
    schema = {"type": "object", "required": ["some"], "additionalProperties": False, "properties": {
        "some": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": r"\S"}}}}
    server = serve(lambda body, number: json.dumps({"some": [[], [" "], ["x"]][number]}))
    assert client(server).one(question(schema=schema)) == {"some": ["x"]}
    sent = json.dumps(server.requests[0]["response_format"])
    assert "minItems" not in sent
    assert "pattern" not in sent
    assert server.requests[0]["response_format"]["json_schema"]["strict"] is True


def test_half_a_character_is_no_answer_and_no_crash(serve, cache):
    server = serve(lambda body, number: '{"answer": "\\ud83d"}' if number == 0 else GOOD)
    free = {"type": "object", "properties": {"answer": {"type": "string"}}}
    assert client(server, cache).one(question(schema=free)) == {"answer": "a"}


# The scripted server says 1000 tokens in and 100 out: 0.0012 dollars at these prices.
PRICES = (1.0, 2.0)


def test_costs_are_counted(serve):
    asking = client(serve(lambda *_: GOOD), prices=PRICES)
    asking.ask([question("1"), question("2")])
    assert asking.spending.cost_usd == pytest.approx(0.0024)
    assert (asking.spending.input_tokens, asking.spending.output_tokens) == (2000, 200)
    unpriced = client(serve(lambda *_: GOOD))
    unpriced.one(question())
    assert unpriced.spending.cost_usd is None


def test_calls_stop_before_the_money_does(serve, cache):
    server = serve(lambda *_: GOOD)
    asking = client(server, cache, prices=PRICES, max_cost_usd=0.0084, concurrency=8)
    replies = asking.ask([question(str(number)) for number in range(20)])
    # A call may cost 0.0045 and takes 0.0012: one waits for another, four fit, and the fifth could pass the limit.
    assert sum(reply.error is None for reply in replies) == len(server.requests) == 4
    assert (asking.spending.cost_usd or 1) <= 0.0084
    assert all("max_cost_usd=0.0084" in (reply.error or "") and not reply.is_unusable for reply in replies if reply.error)
    more = client(server, cache, prices=PRICES, max_cost_usd=0.0084)
    assert sum(reply.error is None for reply in more.ask([question(str(number)) for number in range(20)])) == 8
    assert len(server.requests) == 8


def test_no_money_asks_nothing(serve):
    server = serve(lambda *_: GOOD)
    (reply,) = client(server, prices=PRICES, max_cost_usd=0).ask([question()])
    assert "max_cost_usd=0" in (reply.error or "")
    assert server.requests == []


def test_a_limit_without_a_price_is_refused_before_a_call(serve):
    server = serve(lambda *_: GOOD)
    with pytest.raises(ConfigError, match=r"the price of m is not known; give prices="):
        client(server, max_cost_usd=1).ask([question()])
    assert server.requests == []


def test_a_server_that_does_not_say_tokens_is_counted_at_its_most(serve):
    body = json.loads(completion(GOOD))
    del body["usage"]
    asking = client(serve(lambda *_: (200, {}, json.dumps(body).encode())), prices=PRICES)
    asking.one(question())
    assert (asking.spending.cost_usd or 0) > 2048 * 2 / 1e6


def test_the_estimate_bounds_what_is_spent_and_knows_the_cache(serve, cache, caplog):
    caplog.set_level("INFO", "clipreel")
    server = serve(lambda *_: GOOD)
    asking = client(server, cache, prices=PRICES)
    asking.announce("stage 3", [question("1"), question("2"), question("1")])
    asking.one(question("1"))
    asking.announce("stage 3", [question("1"), question("2")])
    client(server, cache).announce("stage 3", [question("2")])
    first, second, third = (record.getMessage() for record in caplog.records if record.name == "clipreel")
    assert first.startswith("stage 3: 2 questions to ask, at most $0.0")
    assert float(first.partition("$")[2].split()[0]) >= 2 * 2048 * 2 / 1e6
    assert second.startswith("stage 3: 1 questions to ask")
    assert "price that is not known" in third
    assert len(server.requests) == 1


def test_pictures_have_their_price(caplog):
    caplog.set_level("INFO", "clipreel")
    for model, detail in (("gpt-4o", "low"), ("gpt-4o", "high"), ("gpt-4o-mini", "high")):
        LanguageClient(None).announce(detail, [question(picture(b"1", detail), model=model)])
    low, high, mini = (float(record.getMessage().partition("$")[2].split()[0]) for record in caplog.records)
    assert high - low == pytest.approx((1445 - 85) * 2.5 / 1e6, abs=1e-4)
    assert mini > 48169 * 0.15 / 1e6


def test_two_processes_share_a_cache(serve, tmp_path):
    """And neither is told that it is locked."""
    path = tmp_path / "answers.sqlite"
    program = ("import sys\nfrom pathlib import Path\nfrom clipreel.differencing.cache import AnswerCache, StoredAnswer\n"
               "cache = AnswerCache(Path(sys.argv[1]))\n"
               "for number in range(200): cache.put(sys.argv[2] + str(number), StoredAnswer('m', 'x' * 2000, 1, 1, 0.0))\n")
    other = subprocess.Popen([sys.executable, "-c", program, str(path), "other"])
    for begin in range(0, 200, 20):  # opened while the other one is at work
        cache = AnswerCache(path)
        for number in range(begin, begin + 20):
            cache.put(f"own{number}", StoredAnswer("m", "x" * 2000, 1, 1, 0.0))
        cache.close()
    assert other.wait(60) == 0
    cache = AnswerCache(path)
    assert all(cache.get(f"{name}{number}") is not None for name in ("own", "other") for number in range(200))
    cache.close()


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    (tmp_path / "text.sqlite").write_text("this is no database, and long enough to be looked at" * 10)
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE answers (something TEXT)")
    other.close()
    for name in ("text.sqlite", "other.sqlite", ""):
        with pytest.raises(ConfigError, match=r"cache_path=.*no cache of answers"):
            AnswerCache(tmp_path / name)
    with pytest.raises(ConfigError, match="cache_path="):
        AnswerCache(tmp_path / "none.sqlite", read_only=True)
    assert not (tmp_path / "none.sqlite").exists()


def test_a_replayed_cache_is_left_as_it_is(tmp_path):
    folder = tmp_path / "shipped"
    cache = AnswerCache(folder / "answers.sqlite")
    cache.put("k", StoredAnswer("m", "text", 1, 1, 0.0))
    cache.close()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    folder.chmod(0o555)
    try:
        reading = AnswerCache(folder / "answers.sqlite", read_only=True)
        assert reading.get("k") is not None
        reading.close()
    finally:
        folder.chmod(0o755)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".sqlite"} == before
