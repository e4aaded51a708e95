"""A run that was killed goes on where it was, and pays for nothing twice."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from clipreel import cli
from clipreel.tests.differencing.measuring_server import answer

MAIN = Path(__file__).resolve().parents[2] / "main.py"


def test_a_killed_process_is_resumed_and_pays_nothing_twice(world, serve, tmp_path):
    """SIGKILL while its tenth and eleventh question are at the server; then the same words again, in this process."""
    reached, release = threading.Semaphore(0), threading.Event()

    def script(body, number):
        if number >= 9 and not release.is_set():
            reached.release()
            release.wait(60)
        return json.dumps(answer(body["messages"][1]["content"]))

    server = serve(script)
    words = ["differencing", f"dataset={world}/pairs.json", f"proposals={world}/proposals.json", "eval_mode=closed", "judge=openai",
             "subset_mode=6_per_action", f"base_url={server.url}", f"cache_path={tmp_path}/answers.sqlite", "concurrency=2",
             f"output_path={tmp_path}", "model_name=tiny", "device=cpu"]
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    with subprocess.Popen([sys.executable, str(MAIN), *words], env=environment, stderr=subprocess.DEVNULL) as process:
        assert reached.acquire(timeout=60)
        assert reached.acquire(timeout=60)  # both requests under way are held: nine are answered
        process.kill()
        assert process.wait(20) == -9
    release.set()
    features = {path: path.stat().st_mtime_ns for path in (tmp_path / "features").rglob("*.npy")}
    assert features
    first = len(server.requests)
    assert first == 9 + 2
    assert cli.main(words) == 0
    asked = Counter(json.dumps(body, sort_keys=True) for body in server.requests)
    assert len(asked) == 18
    again = {number for number, body in enumerate(server.requests[:first])
             if asked[json.dumps(body, sort_keys=True)] > 1}
    assert again == {9, 10}  # the two whose answers never came
    assert max(asked.values()) == 2
    assert {path: path.stat().st_mtime_ns for path in features} == features
    assert json.loads((tmp_path / "differences" / "run.json").read_text())["calls"]["cached"] == 9
