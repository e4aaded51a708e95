"""200 harmed media files of the 2,000 that `python -m clipreel.tests.hostile` makes: none crashes, hangs, or leads elsewhere."""

import pytest
from clipreel.tests.hostile import Opened, bases_in, run


def test_two_hundred_harmed_files(tmp_path):
    (tmp_path / "harmed").mkdir()
    outcome = run(bases_in(tmp_path / "bases"), tmp_path / "harmed", 200, seed=1)
    assert outcome.problems == []
    assert sum(outcome.reasons.values()) == 200
    assert len(outcome.reasons) > 5  # harmed in many ways indeed


def test_the_watch_sees_a_file_being_opened(tmp_path):
    watched = tmp_path / "watched"
    watched.write_text("x")
    opened = Opened(watched)
    assert not opened
    watched.read_text()
    assert opened


@pytest.mark.parametrize("stop", ["import os; os.abort()", "import time; time.sleep(60)"])
def test_a_death_and_a_hang_are_seen(tmp_path, monkeypatch, stop):
    from clipreel.tests import hostile

    monkeypatch.setattr(hostile, "SECONDS", 0.5)
    monkeypatch.setattr(hostile, "CHILD", f"print('{{\"outcome\": \"done\", \"megabytes\": 1}}', flush=True); {stop}")
    bases = bases_in(tmp_path / "bases")
    (tmp_path / "harmed").mkdir()
    outcome = run(bases, tmp_path / "harmed", 2, seed=1)
    assert outcome.reasons == {"done": 1}
    ((_, problem),) = outcome.problems
    assert problem in ("died with -6", "hung for 0.5 s")
