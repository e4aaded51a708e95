"""`differencing` as words: what it prints and writes, what it does not ask twice, and every way in which it may go wrong."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from clipreel import cli
from clipreel.configs.differencing_schema import DifferencingConfig, DifferencingEvaluateConfig
from clipreel.configs.load import keys_of
from clipreel.sample.pairs import DESCRIPTION, draw_pair
from clipreel.tests.differencing.conftest import hang
from clipreel.tests.differencing.measuring_server import answer
from clipreel.tests.differencing.sample_pair import answer_to

SEED = 7000


@pytest.fixture(autouse=True)
def no_key(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("CLIPREEL_CACHE", str(tmp_path_factory.mktemp("cache")))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def asked_for(body):
    return body["response_format"]["json_schema"]["schema"]["properties"]


def model(body, number):
    """A model that proposes what the first pair was drawn with, and judges by measuring the pictures."""
    if "answer" in asked_for(body):
        return json.dumps(answer(body["messages"][1]["content"]))
    differences = [{"name": f"{one.kind} of the {one.form}", "statement": one.statement, "opposite": one.opposite,
                    "span": "several" if one.is_several else "frame"} for one in draw_pair(SEED).differences]
    return json.dumps(answer_to(body["response_format"]["json_schema"]["schema"], differences))


TINY = ["model_name=tiny", "device=cpu"]


@pytest.fixture
def own(world, tmp_path):
    """The words for two videos of one's own, but a server."""
    videos = f"videos=[{world}/pair_{SEED}_a.mp4, {world}/pair_{SEED}_b.mp4]"
    return ["differencing", videos, f"action={DESCRIPTION}", f"output_path={tmp_path}", f"cache_path={tmp_path}/answers.sqlite",
            *TINY]


def read(path):
    return json.loads(Path(path).read_text())


def test_help_lists_every_key(capsys):
    for words, schema in ((["differencing"], DifferencingConfig), (["differencing", "evaluate"], DifferencingEvaluateConfig)):
        assert cli.main([*words, "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        for key in keys_of(schema):
            assert f"    {key.meaning}" == lines[next(n for n, line in enumerate(lines) if line.startswith(f"{key.name} = ")) + 1]


@pytest.mark.parametrize(("words", "said"), [
    ([], "either videos=.* or dataset="), (["videos=[A, B]", "dataset=x", "action=x"], "either videos=.* or dataset="),
    (["videos=[A]", "action=x"], "allowed are two videos"), (["videos=[A, B, A]", "action=x"], "allowed are two videos"),
    (["videos=[A, A]", "action=x", "base_url=http://127.0.0.1:9/v1"], "both are .*give two videos"),
    (["videos=[A, none.mp4]", "action=x", "base_url=http://127.0.0.1:9/v1"], "none.mp4 is not there"),
    (["videos=[A, B]"], "action=: say what both videos show"),
    (["videos=[A, B]", "action=x"], r"stage 1.*proposals=FILE.*base_url="),
    (["videos=[A, B]", "action=x", "eval_mode=closed"], "give proposals=FILE"),
    (["dataset=D", "eval_mode=closed"], r"stage 1.*proposals=FILE.*base_url="),
    (["videos=[A, B]", "proposals=P", "judge=openai"], "judge=openai asks.*judge=clip.*base_url="),
    (["videos=[A, B]", "proposals=none.json"], "proposals=none.json: there is no such file"),
    (["videos=[FOLDER, B]", "proposals=P"], "folder of pictures.*give fps="),
    (["videos=[A, B]", "proposals=P", "swap=true"], "judge=clip measures both videos alike.*give judge=openai"),
    (["videos=[A, B]", "proposals=P", "fps=0"], "fps=0.0: allowed"),
    (["dataset=none.parquet", "proposals=P"], "no such file or folder"), (["dataset=D", "proposals=P", "split=hard"], "no pair of"),
    (["dataset=D", "proposals=P", "split=simple"], r"split=simple: allowed is easy \| medium"),
    (["dataset=D", "proposals=P", "subset_mode=3"], "K_per_action"), (["dataset=D", "proposals=P", "name=a/b"], "name of a folder"),
    (["dataset=D", "proposals=P", "evalmode=open"], "did you mean 'eval_mode'"),
    (["dataset=D", "proposals=OTHER", "eval_mode=closed"], "judges the dataset's statement"),
    (["videos=[A, B]", "action=x", "base_url=localhost:8000"], "base_url=localhost:8000: allowed is an address"),
    (["videos=[A, B]", "action=x", "base_url=http://127.0.0.1:9/v1", "proposer_model=mine", "max_cost_usd=1"], "price of mine"),
    (["videos=[A, B]", "proposals=P", "judge=openai", "base_url=http://h/v1", "judge_model=mine", "max_cost_usd=1"],
     "price of mine"),
    (["videos=[A, B]", "proposals=P", "prices=[1]"], "prices="), (["videos=[A, B]", "proposals=P", "prices=[1, x]"], "prices="),
    (["videos=[A, B]", "proposals=P", "concurrency=0"], "concurrency=0"),
    (["videos=[A, B]", "proposals=P", "margin=nan"], "margin=nan"),
    (["videos=[A, B]", "proposals=P", "timeout_seconds=0"], "timeout_seconds"),
    (["videos=[A, B]", "action=x", "cache=replay", "cache_path=none.sqlite"], "cache_path=none.sqlite"),
    (["videos=[A, B]", "action=x", "cache=replay", "cache_path=P"], "no cache of answers"),
    (["videos=[A, B]", "proposals=P", "model_name=tinny"], "tinny"),
    (["videos=[A, B]", "proposals=P", "features=none"], "features=none: there is no such folder"),
    (["evaluate"], "needs predictions="), (["evaluate", "predictions=P"], "needs dataset="),
    (["evaluate", "predictions=none.json", "dataset=D"], "predictions=none.json: there is no such file"),
    (["evaluate", "predictions=EMPTY", "dataset=D", "eval_mode=open", "matcher=openai"],
     "matcher=openai asks.*matcher=text.*base_url="),
])
def test_what_is_wrong_is_said_and_nothing_is_started(world, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    proposal = next(iter(read(world / "proposals.json").values()))
    other = {**proposal, "differences": [{**one, "statement": "another"} for one in proposal["differences"]]}
    (tmp_path / "p.json").write_text(json.dumps({"x": proposal}))
    (tmp_path / "other.json").write_text(json.dumps({"parade_0": other}))
    names = {"A": f"{world}/pair_{SEED}_a.mp4", "B": f"{world}/pair_{SEED}_b.mp4", "D": f"{world}/pairs.json", "P": "p.json",
             "OTHER": "other.json", "FOLDER": "pictures", "EMPTY": "empty.json"}
    (tmp_path / "empty.json").write_text("{}")
    words = [re.sub(r"(?<=[=\[ ])[A-Z]+(?=[\],]|$)", lambda found: names[found[0]], word) for word in words]
    before = sorted(path.name for path in tmp_path.iterdir())
    if words[:1] != ["evaluate"]:
        words = [*words, *(word for word in TINY if word.partition("=")[0] not in {one.partition("=")[0] for one in words})]
    assert cli.main(["differencing", *words]) == 2
    assert re.search(said, capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_asked(own, serve, capsys, tmp_path):
    server = serve(model)
    (tmp_path / "file").write_text("")
    words = [word for word in own if not word.startswith("output_path")]
    assert cli.main([*words, f"base_url={server.url}", f"output_path={tmp_path}/file/x"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert server.requests == []


def test_two_videos_from_words_to_files_and_once_more(own, serve, capsys, tmp_path):
    server = serve(model)
    words = [*own, f"base_url={server.url}", "judge=openai", "swap=true", "prices=[1, 2]"]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    said = err.splitlines()
    estimates = [next(place for place, line in enumerate(said) if line.startswith(f"stage {stage}:")) for stage in (1, 3)]
    assert re.fullmatch(r"stage 1: 4 questions to ask, at most \$0\.\d+ at an answer each", said[estimates[0]])
    assert re.fullmatch(r"stage 3: 6 questions to ask, at most \$0\.\d+ at an answer each", said[estimates[1]])
    assert estimates[1] < next(place for place, line in enumerate(said) if line.startswith("10 calls, 0 answers from the cache"))
    folder = tmp_path / "differences"
    assert {path.name for path in folder.iterdir()} == {"proposals.json", "predictions.json", "run.json", "differences.json",
                                                         "report.html"}
    found = read(folder / "differences.json")["differences"]
    truth = draw_pair(SEED).differences
    assert [(one["statement"], one["answer"], one["confidence"]) for one in found] == [
        (one.statement, one.label, 1.0) for one in truth]
    for one in truth:
        assert re.search(rf"{one.label.upper()} more \(1\.00\) +{one.statement}", out)
    run = read(folder / "run.json")
    assert run["calls"]["cost_usd"] == pytest.approx(10 * (1000 * 1 + 100 * 2) / 1e6)
    features = {path: path.stat().st_mtime_ns for path in (tmp_path / "features").rglob("*.np[yz]")}
    assert len(features) >= 4
    results = {name: (folder / name).read_bytes() for name in ("proposals.json", "predictions.json", "differences.json")}
    asked = len(server.requests)
    assert cli.main(words) == 0
    assert "stage 1: 0 questions to ask" in capsys.readouterr().err
    assert len(server.requests) == asked
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "features").rglob("*.np[yz]")} == features
    assert {name: (folder / name).read_bytes() for name in results} == results
    assert read(folder / "run.json")["calls"] | {"seconds": 0} == {
        "calls": 0, "cached": 10, "repaired": 0, "failed": 0, "input_tokens": 0, "output_tokens": 0, "seconds": 0, "cost_usd": 0.0}


def test_proposals_are_edited_and_used_again_and_never_lost(own, serve, capsys, tmp_path):
    server = serve(model)
    assert cli.main([*own, f"base_url={server.url}"]) == 0
    file = tmp_path / "differences" / "proposals.json"
    edited = read(file)
    (key,) = edited
    edited[key]["differences"][0]["statement"] = "a shape, edited by hand"
    file.write_text(json.dumps(edited))
    asked, text = len(server.requests), file.read_bytes()
    assert cli.main([*[word for word in own if not word.startswith("action")], f"proposals={file}"]) == 0
    assert len(server.requests) == asked
    assert file.read_bytes() == text
    found = read(tmp_path / "differences" / "differences.json")
    assert found["differences"][0]["statement"] == "a shape, edited by hand"
    assert found["action"] == DESCRIPTION  # the file's, as none was given
    assert cli.main([*own, f"base_url={server.url}"]) == 0
    assert "kept as proposals.before.json" in capsys.readouterr().err
    assert (tmp_path / "differences" / "proposals.before.json").read_bytes() == text
    edited[key]["stages"][0]["retrieval_strings"] = []
    file.write_text(json.dumps(edited))
    assert cli.main([*own, f"proposals={file}"]) == 2
    assert re.search(r"proposals\.json: pair_7000_a-pair_7000_b, stages\[0\]: retrieval_strings", capsys.readouterr().err)


@pytest.fixture
def few(world, tmp_path):
    """pairs.json of three pairs, the second without a video."""
    records = read(world / "pairs.json")[:3]
    for record in records:
        record["videos"] = record["videos"].replace("pair_", f"{world}/pair_")
    records[1]["videos"] = records[1]["videos"].replace("_b.mp4", "_gone.mp4")
    (tmp_path / "pairs.json").write_text(json.dumps(records))
    return tmp_path / "pairs.json"


def test_the_seed_s_words_work_and_a_failed_pair_is_a_row(world, few, serve, capsys, tmp_path):
    """`--config X --name viddiff_easy --split easy --eval_mode closed --subset_mode 0`"""
    server = serve(model)
    config = tmp_path / "config.yaml"
    config.write_text(f"dataset: {few}\nproposals: {world / 'proposals.json'}\njudge: openai\nbase_url: {server.url}\n"
                      f"cache_path: {tmp_path / 'answers.sqlite'}\noutput_path: {tmp_path / 'out'}\nmodel_name: tiny\ndevice: cpu\n"
                      "name: other\nsubset_mode: 1_per_action\n")
    assert cli.main(["differencing", "--config", str(config), "--name", "viddiff_easy", "--split", "easy", "--eval_mode", "closed",
                     "--subset_mode", "0"]) == 1
    out, err = capsys.readouterr()
    assert "closed evaluation, strict scoring: 3 pairs, 1 unanswered" in out
    assert "localization: " in out
    assert "failed: pair_7001: stage 2: " in err
    assert "pair_7001_gone.mp4" in err
    assert "2 of 3 pairs done" in err
    folder = tmp_path / "out" / "viddiff_easy"
    assert set(read(folder / "predictions.json")) == {"pair_7000", "pair_7002"}
    assert read(folder / "run.json")["failed"].keys() == {"pair_7001"}
    assert (folder / "scores_strict.json").is_file() and (folder / "scores_strict.csv").is_file()
    assert len(server.requests) == 6
    # In the file's own words, and positional ones that win over it.
    assert cli.main(["differencing", f"config={config}", "eval_mode=closed"]) == 0
    assert read(tmp_path / "out" / "other" / "run.json")["pairs"] == 1
    assert len(server.requests) == 6


def test_an_open_benchmark_run_proposes_judges_and_is_scored(world, serve, capsys, tmp_path):
    """Nothing of the annotation reaches the run: the server proposes by the pair's seed, and judges by the pictures."""
    def script(body, number):
        if "answer" in asked_for(body):
            return model(body, number)
        drawn = draw_pair(body["seed"]).differences if "differences" in asked_for(body) else ()
        if "links" in asked_for(body):
            listed = json.loads(re.findall(r"differences by number: (\{.*\})", body["messages"][1]["content"])[0])
            return json.dumps({"links": [{"difference": name, "stages": [str(next(
                place for place, form in enumerate(("circle", "square", "triangle")) if form in text or place == 2))]}
                for name, text in listed.items()]})
        return json.dumps(answer_to(body["response_format"]["json_schema"]["schema"], [
            {"name": f"{one.kind} of the {one.form}", "statement": one.statement, "opposite": one.opposite,
             "span": "several" if one.is_several else "frame"} for one in drawn]))

    server = serve(script)
    words = [f"dataset={world}/pairs.json", "subset_mode=4_per_action", "eval_mode=open", f"output_path={tmp_path}"]
    assert cli.main(["differencing", *words, "judge=openai", f"base_url={server.url}", f"cache_path={tmp_path}/a.sqlite",
                     *TINY]) == 0
    folder = tmp_path / "differences"
    assert sorted(read(folder / "proposals.json")) == sorted(read(folder / "predictions.json"))
    assert sum("differences" in asked_for(body) for body in server.requests) == 4
    assert sum("stages" in asked_for(body) for body in server.requests) == 2
    text = json.dumps([body for body in server.requests if "answer" not in asked_for(body)])
    assert "differences_gt" not in text
    assert cli.main(["differencing", "evaluate", *words[:3], f"predictions={folder}/predictions.json"]) == 0
    scores = read(folder / "scores_strict.json")
    assert scores["overall"]["n"] == 12
    assert scores["overall"]["unmatched"] == 0
    assert scores["overall"]["right"] >= 0.8


def test_money_that_is_used_up_stops_the_run_and_is_said(world, serve, capsys, tmp_path):
    server = serve(model)
    words = ["differencing", f"dataset={world}/pairs.json", f"proposals={world}/proposals.json", "eval_mode=closed", "judge=openai",
             "subset_mode=4_per_action", f"base_url={server.url}", f"cache_path={tmp_path}/a.sqlite", f"output_path={tmp_path}",
             *TINY, "prices=[1, 10]", "judge_model=eyes", "concurrency=1"]
    # A call may cost 0.027 at most (pictures 1445 tokens each), and costs 0.002.
    assert cli.main([*words, "max_cost_usd=0.04"]) == 1
    err = capsys.readouterr().err
    first = len(server.requests)
    assert 4 <= first < 12
    assert "max_cost_usd=0.04 would be passed" in err
    assert "raise it and run again" in err
    run = read(tmp_path / "differences" / "run.json")
    assert run["calls"]["cost_usd"] == pytest.approx(first * 0.002)
    assert run["answers"]["invalid"] == 0
    done = read(tmp_path / "differences" / "predictions.json")
    assert set(done) == {f"pair_{SEED + number}" for number in range(4)} - set(run["failed"])
    assert all(len(one) == 3 for one in done.values())
    assert cli.main([*words, "max_cost_usd=1"]) == 0
    assert len(server.requests) == 12
    assert f"{first} answers from the cache" in capsys.readouterr().err


def test_a_server_that_dies_fails_pairs_and_what_it_said_is_kept(world, serve, capsys, tmp_path):
    server = serve(lambda body, number: model(body, number) if number < 5 else (500, {}, b"{}"))
    words = ["differencing", f"dataset={world}/pairs.json", f"proposals={world}/proposals.json", "eval_mode=closed", "judge=openai",
             "subset_mode=3_per_action", f"cache_path={tmp_path}/a.sqlite", f"output_path={tmp_path}", *TINY, "concurrency=1",
             "retries=0"]
    assert cli.main([*words, f"base_url={server.url}"]) == 1
    assert capsys.readouterr().err.count("stage 3: the server answered 500") == 2
    assert set(read(tmp_path / "differences" / "predictions.json")) == {"pair_7000"}
    well = serve(model)
    assert cli.main([*words, f"base_url={well.url}"]) == 0
    assert len(well.requests) == 9 - 5
    server.close()
    assert cli.main([*words, "cache=replay"]) == 0
    assert len(well.requests) == 4
    assert cli.main([*words, "cache=replay", "seed=1"]) == 1
    assert "cache=replay never asks" in capsys.readouterr().err


def test_an_interruption_is_130_at_once_and_keeps_what_was_answered(own, serve, capsys, tmp_path):
    def script(body, number):
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
            return hang
        return model(body, number)

    server = serve(script)
    began = time.monotonic()
    assert cli.main([*own, f"base_url={server.url}"]) == 130
    assert time.monotonic() - began < 3
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "differences" / "predictions.json").exists()
    again = serve(model)
    assert cli.main([*own, f"base_url={again.url}"]) == 0
    assert len(again.requests) == 4 - 2


# -- evaluate --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def answered(world, tmp_path):
    """(words for evaluate, write(predictions)) on the world's first six pairs."""
    shutil.copy(world / "pairs.json", tmp_path / "pairs.json")
    file = tmp_path / "p.json"

    def write(predictions):
        file.write_text(json.dumps(predictions))

    return ["differencing", "evaluate", f"predictions={file}", f"dataset={tmp_path}/pairs.json", "subset_mode=6_per_action"], write


PAIRS = [draw_pair(seed) for seed in range(SEED, SEED + 6)]


def test_closed_predictions_are_scored_from_every_form(answered, capsys, tmp_path):
    words, write = answered
    letters = {pair.key: {one.id: one.label for one in pair.differences} for pair in PAIRS}
    letters[PAIRS[0].key]["0"] = "invalid"
    letters[PAIRS[1].key]["1"] = "c"
    letters[PAIRS[2].key]["2"] = {"a": "b", "b": "a"}[letters[PAIRS[2].key]["2"]]
    del letters[PAIRS[3].key]["0"]
    texts = {key: {name: {"description": "d", "prediction": letter} for name, letter in one.items()}
             for key, one in letters.items()}
    scores = []
    for form in (letters, texts, list(letters.values())):
        write(form)
        assert cli.main(words) == 0
        scores.append(read(tmp_path / "scores_strict.json"))
        out = capsys.readouterr().out
    assert scores[0] == scores[1] == scores[2]
    overall = scores[0]["overall"]
    assert (overall["n"], overall["right"]) == (18, pytest.approx(14 / 18))
    shares = [overall[name] for name in ("right", "flipped", "neither", "invalid", "unmatched")]
    assert shares[1:] == pytest.approx([1 / 18] * 4)
    assert sum(shares) == pytest.approx(1)
    assert overall["low"] < overall["right"] < overall["high"]
    assert re.search(r"all +18 +77\.8% +\d+\.\d to \d+\.\d", out)
    lines = (tmp_path / "scores_strict.csv").read_text().splitlines()
    assert len(lines) == 19
    assert lines[0].startswith("pair,action,split,difference_id,statement,truth,outcome")
    assert list(scores[0]["by_difference"]) == ["parade_0/0", "parade_0/1", "parade_0/2"]
    assert sum(one["n"] for one in scores[0]["by_difference"].values()) == 18


def opened(pair):
    """An open answer: other keys, other words, one turned round, and one too many that nobody annotated."""
    told = {f"k{9 - int(one.id)}": {"description": f"{one.statement}, clearly", "prediction": one.label}
            for one in pair.differences}
    told["zz"] = {"description": "the background hums", "prediction": "a"}
    return told


def test_open_predictions_are_matched_by_words(answered, capsys, tmp_path):
    words, write = answered
    predictions = {pair.key: opened(pair) for pair in PAIRS}
    write(predictions)
    assert cli.main([*words, "eval_mode=open"]) == 0
    out = capsys.readouterr().out
    assert "recall@N" in out
    assert "predictions that match nothing: 6; beyond the allowed number: 0" in out
    record = read(tmp_path / "scores_strict.json")
    assert record["overall"]["right"] == 1.0
    assert record["excess"] == 6


def test_open_predictions_without_a_text_are_refused(answered, capsys):
    words, write = answered
    write({PAIRS[0].key: {"0": "a"}})
    assert cli.main(words) == 0
    assert cli.main([*words, "eval_mode=open"]) == 2
    assert "pair_7000, difference 0: description is ''" in capsys.readouterr().err


def test_compat_and_strict_part_at_the_limit(answered, capsys, tmp_path):
    words, write = answered
    records = read(tmp_path / "pairs.json")
    for one in records:
        one["n_differences_open_prediction"] = 2
    (tmp_path / "pairs.json").write_text(json.dumps(records))
    write({pair.key: opened(pair) for pair in PAIRS})
    assert cli.main([*words, "eval_mode=open", "scoring=strict", f"output_path={tmp_path}/scores"]) == 0
    assert cli.main([*words, "eval_mode=open", "scoring=compat", f"output_path={tmp_path}/scores"]) == 0
    strict, compat = (read(tmp_path / "scores" / f"scores_{name}.json") for name in ("strict", "compat"))
    assert (strict["over_limit"], compat["over_limit"]) == (12, 12)
    assert compat["overall"]["right"] == 1.0
    assert strict["overall"]["unmatched"] == pytest.approx(1 / 3)


def matching_model(body, number):
    """Matches what the drawn statement is part of; and says of the second of every batch that it is the opposite."""
    text = body["messages"][1]["content"]
    if "opposite" in asked_for(body):
        count = len(json.loads(text[text.index("[["):]))
        return json.dumps({"opposite": [False] * count})
    truth, proposed = (json.JSONDecoder().raw_decode(text[text.index(mark) + len(mark):])[0]
                       for mark in ("Annotated differences by key: ", "Proposed differences by key: "))
    return json.dumps({"matches": [{"annotated": name, "proposed": next(
        (key for key, said in proposed.items() if said.startswith(f"{statement},")), None)} for name, statement in truth.items()]})


def test_a_language_model_matches_over_http_and_is_asked_once(answered, serve, capsys, tmp_path):
    words, write = answered
    write({pair.key: opened(pair) for pair in PAIRS[:5]})
    server = serve(lambda body, number: '{"matches": [{"annotated": "0", "proposed": "nothing"}]}' if number == 0
                   else matching_model(body, number))
    words = [*words, "eval_mode=open", "matcher=openai", f"cache_path={tmp_path}/answers.sqlite"]
    assert cli.main([*words, f"base_url={server.url}"]) == 0
    record = read(tmp_path / "scores_strict.json")
    assert record["overall"]["right"] == pytest.approx(15 / 18)
    assert record["unanswered_pairs"] == 1
    err = capsys.readouterr().err
    assert err.index("matching: 5 questions to ask") < err.index("opposites: 3 questions to ask") < err.index("9 calls, 0 answers")
    assert len(server.requests) == 5 + 1 + 3  # matches, a repair, and fifteen statements in sixes for their opposites
    complaint = next(body["messages"][-1]["content"] for body in server.requests if len(body["messages"]) == 4)
    assert "annotated must be each of" in complaint
    assert "'nothing' is no proposed one" in complaint
    server.close()
    assert cli.main([*words, "cache=replay"]) == 0
    assert read(tmp_path / "scores_strict.json") == record
    write({pair.key: opened(pair) for pair in PAIRS})
    assert cli.main([*words, "cache=replay"]) == 1
    assert "cache=replay never asks" in capsys.readouterr().err


def test_opposites_are_turned_by_a_language_model(answered, serve, tmp_path):
    words, write = answered
    turned = {pair.key: {one.id: {"description": f"{one.statement}, reversed", "prediction": {"a": "b", "b": "a"}[one.label]}
                         for one in pair.differences} for pair in PAIRS}
    write(turned)

    def script(body, number):
        said = json.loads(matching_model(body, number))
        return json.dumps({"opposite": [True] * len(said["opposite"])} if "opposite" in said else said)

    assert cli.main([*words, "eval_mode=open", "matcher=openai", "cache=off", f"base_url={serve(script).url}"]) == 0
    assert read(tmp_path / "scores_strict.json")["overall"]["right"] == 1.0


@pytest.mark.parametrize(("predictions", "said"), [
    ("[1", "no JSON that can be read"), (json.dumps([{}]), "a list of 1, and there are 6 pairs"),
    (json.dumps("x"), "allowed is a mapping"),
    (json.dumps({"pair_9": {}}), "'pair_9', which is no pair"), (json.dumps({"pair_7000": {"9": "a"}}), "difference '9'"),
    (json.dumps({"pair_7000": {"0": "A"}}), "prediction 'A'; allowed is a, b, c"), (json.dumps({"pair_7000": ["a"]}), "no mapping"),
    (json.dumps({"pair_7000": {"0": {"description": "d"}}}), "prediction None"),
    (json.dumps({"pair_7000": {"0": ["a"]}}), "allowed is a, b"),
])
def test_wrong_predictions_are_said_by_their_place(answered, capsys, tmp_path, predictions, said):
    words, _ = answered
    (tmp_path / "p.json").write_text(predictions)
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert not (tmp_path / "scores_strict.json").exists()
