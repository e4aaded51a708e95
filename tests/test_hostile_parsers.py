"""Every file of text that we parse, harmed 300 times from a seed: it is read, or refused by an error of ours, and quickly."""

import json
import random
import time
from pathlib import Path

import pytest
from clipreel.configs.load import load_config
from clipreel.configs.schema import ExtractConfig
from clipreel.differencing.dataset import read_pairs
from clipreel.differencing.proposal_file import read_proposals
from clipreel.differencing.scores import read_predictions
from clipreel.errors import ClipreelError
from clipreel.extract.failures import read_failures
from clipreel.extract.store.find import find_stored
from clipreel.extract.text_file import read_texts
from clipreel.extract.videos import read_list
from clipreel.retrieval.annotations import read_annotations
from clipreel.sample.pairs import draw_pair, proposal_of, record_of
from clipreel.videoqa.dataset import read_dataset
from clipreel.videoqa.result_files import read_videos
from clipreel.videoqa.subtitles import read_subtitles

PAIR = draw_pair(5)
SAMPLE = Path(__file__).resolve().parent.parent / "sample"
META = json.loads((SAMPLE / "differencing" / "features" / "first_meta.json").read_text())
QUESTION = {"video_id": "001", "videoID": "a", "duration": "short", "domain": "d", "sub_category": "s", "question_id": "001-1",
            "task_type": "t", "question": "q?", "options": ["A. x", "B. y", "C. z", "D. w"], "answer": "A"}
RESULTS = [{"video_id": "001", "duration": "short", "domain": "d", "sub_category": "s", "missing": False, "questions": [
    {"question_id": "001-1", "task_type": "t", "question": "q?", "options": "A. x", "answer": "A", "response": "A"}]}]
FAILURE = {"path": "a.mp4", "key": "a", "error": "E", "reason": "r", "start_seconds": None, "end_seconds": 1.5, "name": "a",
           "metadata": {}}


def stored(path):
    return [video.read(False) for video in find_stored(path)]


# File name, a whole file's content, and how it is read.
PARSERS = {
    "metadata": ("first_meta.json", META, stored),
    "config": ("job.yml", "batch_size: 32\nvideo_paths:\n  - a.mp4\n  - 'b c.mp4'\nprecision: float32\nextraction_fps: 1.5\n",
               lambda path: load_config(ExtractConfig, {"config": str(path)})),
    "list": ("videos.txt", "# comment\na.mp4\n\nfolder/b.mkv\n'quoted'.mp4\n", lambda path: read_list(str(path))),
    "csv": ("videos.csv", "path,id,start,end,label\na.mp4,x,0.5,2,cat\n\"b,c.mp4\",y,,,\n", lambda path: read_list(str(path))),
    "failures": ("failures.jsonl", FAILURE, read_failures),
    "subtitles": ("a.srt", "1\n00:00:01,000 --> 00:00:02,500\nhello <i>there</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nb\n",
                  read_subtitles),
    "subtitles json": ("a.json", {"frames": [{"subtitle": "hello", "n": 1}, {"subtitle": None}]}, read_subtitles),
    "questions": ("q.json", [QUESTION, {**QUESTION, "question_id": "001-2"}], lambda path: read_dataset(str(path))),
    "results": ("r.json", RESULTS, lambda path: read_videos(str(path))),
    "pairs": ("pairs.json", [record_of(PAIR, ["a.mp4", "b.mp4"])], lambda path: read_pairs(str(path))),
    "proposals": ("p.json", {PAIR.key: proposal_of(PAIR)}, lambda path: read_proposals(str(path), [])),
    "predictions": ("p.json", {PAIR.key: {"0": {"description": "d", "prediction": "a"}}},
                    lambda path: read_predictions(str(path), [])),
    "annotations": ("a.json", {"v1": {"sentences": ["one", "two"], "timestamps": [[0, 1.5]]}}, read_annotations),
    "texts": ("captions.csv", "video,caption\nv1,a dog runs\nv2,\"two, three\"\n",
              lambda path: read_texts(str(path), column="caption")),
}
ODD = (None, True, -1, 10**30, 1e308, -1e308, float("nan"), float("inf"), "", "\x00", "../../etc/passwd", "a" * 5000, "\ud800", [],
       {}, [[]], {"a": 1}, [None], "0", "1e999", "yes", {"": None})
# The brackets nest deeper than Python recurses.
BYTES = (b"\x00", b"\xff", b"\n", b'"', b"'", b",", b"{", b"[" * 1500, b": ", b"*&!", b"${x}", b"\xed\xa0\x80")


def harmed_value(dice, value):
    """A JSON value with one place of it replaced, taken out, doubled or renamed."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        name = dice.choice(list(value))
        rest = {key: one for key, one in value.items() if key != name}
        return dice.choice((lambda: {**value, name: harmed_value(dice, value[name])}, lambda: rest,
                            lambda: {**rest, f"{name}x": value[name]}))()
    if isinstance(value, list) and value and dice.random() < 0.8:
        place = dice.randrange(len(value))
        return [*value[:place], *dice.choice(([harmed_value(dice, value[place])], [], [value[place]] * 2)), *value[place + 1:]]
    if isinstance(value, str) and value[:1] in ("[", "{") and dice.random() < 0.7:  # JSON within JSON
        return json.dumps(harmed_value(dice, json.loads(value)))
    return dice.choice(ODD)


def harmed_bytes(dice, data):
    data = bytearray(data)
    for _ in range(dice.choice((1, 3, 20))):
        place = dice.randrange(len(data) + 1)
        part = dice.choice((*BYTES, bytes(data[place:place + 30]) * 5))
        data[place:place + dice.choice((0, 1, 10))] = part
    return bytes(data)


@pytest.mark.parametrize("name", PARSERS)
def test_harmed_files(name, tmp_path):
    file, content, read = PARSERS[name]
    if name == "metadata":
        for path in (SAMPLE / "differencing" / "features").glob("first_*.npy"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = content if isinstance(content, str) else json.dumps(content)
    path = tmp_path / file
    path.write_text(whole)
    read(path)
    refused = 0
    for number in range(300):
        dice = random.Random(f"{name}/{number}")
        if isinstance(content, str) or number % 3 == 0:
            path.write_bytes(harmed_bytes(dice, whole.encode()))
        else:
            path.write_text(json.dumps(harmed_value(dice, content)))
        began = time.perf_counter()
        try:
            read(path)
        except ClipreelError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{number}: {path.read_bytes()[:2000]!r}") from error
        assert time.perf_counter() - began < 5
    assert refused > 5 or name in ("subtitles", "list")  # where any line may stand
