"""The log that pages take up again."""

import json
import threading

from clipreel.investigator.event_log import EventLog


def since(log, number):
    events = log.since(number)
    assert events is not None
    return events


def kinds(events):
    return [json.loads(text)["kind"] for _, text in events]


def test_what_came_since():
    log = EventLog()
    assert (log.last, log.since(0)) == (0, [])
    for name in "abc":
        log.append(name, words="<b>")
    assert kinds(log.since(0)) == ["a", "b", "c"]
    assert kinds(log.since(2)) == ["c"]
    assert log.since(3) == []
    assert log.since(4) is None  # another log's number
    assert json.loads(since(log, 2)[0][1]) == {"seq": 3, "kind": "c", "words": "<b>"}


def test_what_is_no_longer_kept_is_said():
    log = EventLog(most_events=3)
    for number in range(5):
        log.append("x", number=number)
    assert log.since(1) is None
    assert [json.loads(text)["number"] for _, text in since(log, 2)] == [2, 3, 4]


def test_large_events_push_old_ones_out():
    log = EventLog(most_characters=1000)
    for _ in range(5):
        log.append("x", words="w" * 400)
    assert len(since(log, log.last - 2)) == 2
    assert log.since(0) is None


def test_numbers_are_without_gaps_from_many_threads():
    log, heard = EventLog(), []
    forget = log.listen(lambda: heard.append(1))
    threads = [threading.Thread(target=lambda: [log.append("x") for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [number for number, _ in since(log, 0)] == list(range(1, 401))
    assert len(heard) == 400
    forget()
    log.append("x")
    assert len(heard) == 400


def test_boots_differ():
    assert EventLog().boot != EventLog().boot
