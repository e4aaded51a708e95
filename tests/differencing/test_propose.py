"""Stage 1 against a server whose answers are scripted, and its file."""

import json
import threading
from pathlib import Path

import pytest
from clipreel.differencing.cache import AnswerCache
from clipreel.differencing.calls import LanguageClient
from clipreel.differencing.proposal_file import check_annotated, proposals_record, read_proposals
from clipreel.differencing.propose import Proposer
from clipreel.differencing.records import Clip, Difference, Pair, Proposal
from clipreel.errors import InputError

CLIPS = (Clip(Path("a.mp4")), Clip(Path("b.mp4")))
STAGES = [{"name": name, "description": f"the {name}", "retrieval_strings": [f"A photo of {name} {number}" for number in range(5)]}
          for name in ("start", "middle", "end")]
DIFFERENCES = [{"name": "feet", "statement": "the feet are wider apart", "opposite": "the feet are closer together",
                "span": "frame"},
               {"name": "speed", "statement": "the squat is faster", "opposite": "the squat is slower", "span": "several"}]


def pairs_of(*actions, seeds=None, annotated=()):
    return [Pair(f"p{number}", action, f"a person does {action}", CLIPS, seed=(seeds or range(99))[number], differences=annotated,
                 allowed_differences=4) for number, action in enumerate(actions)]


def kind_of(body):
    schema = body["response_format"]["json_schema"]["schema"]["properties"]
    text = body["messages"][1]["content"]
    return next(iter(schema)) if "stages" not in schema else "texts" if "Leave out texts" in text else "stages"


class Scripted:
    """A script for the server: the usual answers, and `kind=function(body, number of this kind)` or an answer in place of them.
    `counts`: how often each kind was asked."""

    def __init__(self, **changes):
        self.answers = {
            "differences": {"differences": DIFFERENCES}, "stages": {"stages": STAGES}, "texts": {"stages": STAGES},
            "links": {"links": [{"difference": "0", "stages": ["1"]}, {"difference": "1", "stages": ["0", "2", "0"]}]}, **changes}
        self.counts, self._lock = dict.fromkeys(self.answers, 0), threading.Lock()

    def __call__(self, body, _):
        kind = kind_of(body)
        with self._lock:
            number = self.counts[kind]
            self.counts[kind] += 1
        answer = self.answers[kind]
        answer = answer(body, number) if callable(answer) else answer
        return answer if isinstance(answer, (str, tuple)) else json.dumps(answer)


def propose(server, pairs, *, is_open=True, cache=None, **options):
    client = LanguageClient(cache, base_url=server.url, **options)
    return Proposer(client, "m", 0, 5).propose(pairs, is_open=is_open)


def test_an_open_proposal_is_joined_by_ids(serve):
    server = serve(Scripted())
    (proposal,) = propose(server, pairs_of("squats")).values()
    assert isinstance(proposal, Proposal)
    assert [(one.id, one.statement, one.span, one.opposite) for one in proposal.differences] == [
        ("0", "the feet are wider apart", "frame", "the feet are closer together"),
        ("1", "the squat is faster", "several", "the squat is slower")]
    assert [stage.difference_ids for stage in proposal.stages] == [("1",), ("0",), ("1",)]
    assert proposal.stages_of("1") == (0, 2)
    assert all(len(stage.retrieval_strings) == 5 for stage in proposal.stages)


def test_a_closed_proposal_keeps_the_annotated_ids(serve):
    annotated = (Difference("10", "arms", "the arms are higher"), Difference("2", "arms", "the arms are lower", "several"))
    answer = {"links": [{"difference": "2", "stages": ["2"]}, {"difference": "10", "stages": ["0"]}]}
    server = serve(Scripted(links=answer))
    (proposal,) = propose(server, pairs_of("squats", annotated=annotated), is_open=False).values()
    assert isinstance(proposal, Proposal)
    assert proposal.differences == annotated  # two of one name: ids join, names do not
    assert proposal.stages_of("10") == (0,)
    assert "differences" not in {kind_of(body) for body in server.requests}


def test_what_is_the_same_for_an_action_is_asked_once(serve):
    script = Scripted(links={"links": [{"difference": "10", "stages": ["0"]}]})
    server = serve(script)
    annotated = (Difference("10", "arms", "the arms are higher"),)
    found = propose(server, pairs_of("squats", "jumps", "squats", "squats", "jumps", annotated=annotated), is_open=False)
    assert len(found) == 5
    assert script.counts == {"differences": 0, "stages": 2, "texts": 2, "links": 2}
    assert len(server.requests) == 6


def test_open_differences_are_asked_pair_by_pair(serve):
    """So that one bad list does not spoil an action; but two pairs with one seed are one question."""
    script = Scripted()
    server = serve(script)
    found = propose(server, pairs_of("squats", "squats", "squats", seeds=[5, 6, 6]))
    assert script.counts == {"differences": 2, "stages": 1, "texts": 1, "links": 1}
    assert sorted(body["seed"] for body in server.requests if kind_of(body) == "differences") == [5, 6]
    assert len({id(one) for one in found.values()}) == 3


def test_a_seed_of_the_dataset_s_size_is_one_that_servers_take(serve):
    server = serve(Scripted())
    propose(server, pairs_of("squats", seeds=[-(2**62)]))
    assert all(0 <= body["seed"] < 2**31 for body in server.requests)


def told(body):
    return body["messages"][-1]["content"] if len(body["messages"]) == 4 else ""


@pytest.mark.parametrize(("kind", "wrong", "said"), [
    ("differences", {"differences": DIFFERENCES * 3}, "6 differences, and 4 are allowed"),
    ("differences", {"differences": [DIFFERENCES[0], {**DIFFERENCES[1], "name": "Feet "}]}, "the same name"),
    ("differences", {"differences": [{**DIFFERENCES[0], "span": "gt_1"}]}, "span"),
    ("differences", {"differences": [{**DIFFERENCES[0], "statement": " "}]}, "statement"),
    ("differences", {"differences": []}, "differences"),
    ("stages", {"stages": STAGES * 2}, "6 stages, and 5 are allowed"),
    ("stages", {"stages": [STAGES[0], {**STAGES[1], "name": "start"}]}, "the same name"),
    ("stages", {"stages": [{**STAGES[0], "retrieval_strings": ["one"]}]}, "at least 5 are needed"),
    ("stages", {"stages": [{"name": "start"}]}, "required property"),
    ("texts", {"stages": STAGES[:2]}, "must stay"),
    ("texts", {"stages": [{**one, "retrieval_strings": []} for one in STAGES]}, "retrieval_strings"),
    ("links", {"links": [{"difference": "0", "stages": ["1"]}]}, "'1' is linked to no stage"),
    ("links", {"links": [{"difference": "0", "stages": ["1"]}, {"difference": "9", "stages": ["1"]}]}, "'9' is not one of"),
    ("links", {"links": [{"difference": "0", "stages": ["end"]}, {"difference": "1", "stages": ["1"]}]}, "'end' is not one of"),
    ("links", {"links": [{"difference": "0", "stages": ["1"]}] * 2 + [{"difference": "1", "stages": ["1"]}]}, "there twice"),
    ("links", {"links": [{"difference": "0", "stages": []}, {"difference": "1", "stages": ["1"]}]}, "stages"),
])
def test_a_wrong_answer_is_told_and_repaired(serve, tmp_path, kind, wrong, said):
    usual = Scripted().answers[kind]
    server = serve(Scripted(**{kind: lambda _, number: usual if number else wrong}))
    cache = AnswerCache(tmp_path / "answers.sqlite")
    (proposal,) = propose(server, pairs_of("squats"), cache=cache).values()
    assert isinstance(proposal, Proposal)
    (complaint,) = [told(body) for body in server.requests if told(body)]
    assert said in complaint
    asked = len(server.requests)
    assert propose(server, pairs_of("squats"), cache=cache)["p0"] == proposal
    assert len(server.requests) == asked
    cache.close()


def test_what_is_never_repaired_fails_its_pair_alone(serve):
    def differences(body, number):
        return {"differences": []} if body["seed"] else {"differences": DIFFERENCES}

    server = serve(Scripted(differences=differences))
    found = propose(server, pairs_of("squats", "squats"))
    assert isinstance(found["p0"], Proposal)
    assert isinstance(found["p1"], str)
    assert found["p1"].startswith("stage 1: ")
    assert sum(kind_of(body) == "differences" for body in server.requests) == 1 + 3


def test_a_server_that_fails_fails_the_pairs_with_its_words(serve):
    server = serve(Scripted(links=(400, {}, b'{"error": {"message": "no credit"}}')))
    (reason,) = propose(server, pairs_of("squats")).values()
    assert isinstance(reason, str)
    assert "no credit" in reason


def test_a_pair_without_annotated_differences_is_not_asked_about(serve):
    server = serve(Scripted())
    (reason,) = propose(server, pairs_of("squats"), is_open=False).values()
    assert reason == "stage 1: the dataset has no difference for it"
    assert server.requests == []


def test_the_estimate_is_of_all_questions_and_is_kept_to(serve, tmp_path, caplog):
    caplog.set_level("INFO", "clipreel")
    server = serve(Scripted())
    pairs = pairs_of("squats", "squats", "jumps")

    def run():
        cache = AnswerCache(tmp_path / "answers.sqlite")
        client = LanguageClient(cache, base_url=server.url, prices=(1.0, 2.0))
        Proposer(client, "m", 0, 5).propose(pairs, is_open=True)
        cache.close()
        said = next(record.getMessage() for record in caplog.records if record.getMessage().startswith("stage 1: "))
        caplog.clear()
        return said, client.spending

    said, spent = run()
    assert said.startswith(f"stage 1: {3 + 2 + 2 + 3} questions to ask, at most $")
    bound = float(said.partition("$")[2].split()[0])
    assert 0 < (spent.cost_usd or 0) <= bound
    assert len(server.requests) == 3 + 2 + 2 + 2  # of one action's pairs with equal differences the links are one question
    said, spent = run()
    assert said == "stage 1: 0 questions to ask"
    assert spent.calls == 0


# -- the file --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def content(serve):
    """What a run writes, as plain values."""
    return json.loads(json.dumps(proposals_record(
        {key: one for key, one in propose(serve(Scripted()), pairs_of("squats")).items() if isinstance(one, Proposal)})))


def saved(tmp_path, content):
    (tmp_path / "proposals.json").write_text(json.dumps(content))
    return str(tmp_path / "proposals.json")


def test_what_is_written_is_read_and_what_is_edited_is_taken(tmp_path, content):
    pairs = pairs_of("squats")
    read = read_proposals(saved(tmp_path, content), pairs)
    assert json.loads(json.dumps(proposals_record(read))) == content
    content["p0"]["differences"].append({"id": 2, "name": "depth", "statement": "the squat is deeper"})
    content["p0"]["stages"][1]["difference_ids"].append(2)
    edited = read_proposals(saved(tmp_path, content), pairs)["p0"]
    assert edited.differences[2] == Difference("2", "depth", "the squat is deeper")
    assert edited.stages_of("2") == (1,)


def test_a_pair_takes_its_own_its_action_s_or_the_only_one(tmp_path, content):
    squats, jumps = content["p0"], {**content["p0"], "action": "jumps"}
    name = saved(tmp_path, {"p1": squats, "any": jumps})
    found = read_proposals(name, pairs_of("jumps", "jumps"))
    assert (found["p0"].action, found["p1"].action) == ("jumps", "squats")
    assert read_proposals(saved(tmp_path, {"x": squats}), pairs_of("dives"))["p0"].action == "squats"
    with pytest.raises(InputError, match="neither pair 'p0' nor action 'dives'"):  # of several pairs none takes another's
        read_proposals(saved(tmp_path, {"x": squats}), pairs_of("dives", "squats"))


def edit(content, path, value):
    """Sets the value at `path` (keys), or takes it away for None."""
    for key in path[:-1]:
        content = content[key]
    if value is None:
        del content[path[-1]]
    else:
        content[path[-1]] = value


@pytest.mark.parametrize(("path", "value", "said"), [
    (("p0", "action"), None, "p0: has no 'action'"),
    (("p0", "differences"), [], "p0: differences is no list with anything in it"),
    (("p0", "differences", 1, "statement"), None, r"p0, differences\[1\]: has no 'statement'"),
    (("p0", "differences", 1, "statement"), " ", r"differences\[1\]: statement is ' '"),
    (("p0", "differences", 0, "span"), "gt_1", r"differences\[0\]: span is 'gt_1'; allowed is frame or several"),
    (("p0", "differences", 0, "opposite"), 3, r"differences\[0\]: opposite is 3"),
    (("p0", "differences", 0, "oposite"), "x", r"differences\[0\]: there is no field 'oposite'; did you mean 'opposite'\?"),
    (("p0", "stages", 1, "strings"), "x", r"stages\[1\]: there is no field 'strings' .allowed are id, name, "),
    (("p0", "differences", 0), "text", r"differences\[0\]: is no mapping"),
    (("p0", "differences", 0, "id"), "1", "an id is there twice"),
    (("p0", "differences", 0, "id"), [1], r"differences\[0\]: \[1\] is no id"),
    (("p0", "stages"), "x", "p0: stages is no list"),
    (("p0", "stages", 2, "retrieval_strings"), [], r"stages\[2\]: retrieval_strings is no list with anything"),
    (("p0", "stages", 2, "retrieval_strings"), ["x", 3], r"stages\[2\]: retrieval_strings\[1\] is 3"),
    (("p0", "stages", 2, "difference_ids"), ["0", "7"], "stage '2' has a link to difference '7', which is not there"),
    (("p0", "stages", 1, "difference_ids"), [], "difference '0' is linked to no stage"),
    (("p0", "stages", 1, "difference_ids"), "0", r"stages\[1\]: difference_ids is no list"),
    (("p0",), [], "p0: is no mapping"),
])
def test_a_slip_in_the_edited_file_is_found_by_its_place(tmp_path, content, path, value, said):
    edit(content, path, value)
    with pytest.raises(InputError, match=said) as caught:
        read_proposals(saved(tmp_path, content), pairs_of("squats"))
    assert f"proposals={tmp_path}" in str(caught.value)


@pytest.mark.parametrize(("text", "said"), [("{", "line 1"), ("[]", "allowed is a mapping"), ("{}", "allowed is a mapping"),
                                            ('{"p0": {}, "p0": {}}', "'p0' is there twice")])
def test_what_is_no_such_file_is_said(tmp_path, text, said):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_proposals(str(tmp_path / "p.json"), pairs_of("squats"))
    with pytest.raises(InputError, match="no such file"):
        read_proposals(str(tmp_path / "none.json"), pairs_of("squats"))


def test_closed_runs_judge_the_dataset_s_statements(tmp_path, content):
    """An open run's file has the same ids for other things."""
    (proposal,) = read_proposals(saved(tmp_path, content), pairs_of("squats")).values()
    annotated = (Difference("0", "feet", "the feet are wider apart"), Difference("1", "arms", "the arms are higher"))
    pair = Pair("p0", "squats", "a person squats", CLIPS, differences=annotated, truth={"0": "a", "1": "c"})
    check_annotated("p.json", pair, proposal)  # difference 1 is not scored
    with pytest.raises(InputError, match=r"difference '1' says 'the squat is faster'.*'the arms are higher'"):
        check_annotated("p.json", Pair("p0", "squats", "", CLIPS, differences=annotated, truth={"1": "a"}), proposal)
    more = (*annotated, Difference("2", "depth", "the squat is deeper"))
    with pytest.raises(InputError, match="difference '2' is not there"):
        check_annotated("p.json", Pair("p0", "squats", "", CLIPS, differences=more, truth={"2": "b"}), proposal)
