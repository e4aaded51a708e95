"""Draws the pair of `sample/differencing` again, with its features and the answers of stage 1, which this file holds: they were
written by us, no language model was asked. To be run again when the questions of stage 1 change their words:

    python -m clipreel.tests.differencing.sample_pair
"""

import json
import shutil
import sqlite3
import sys
import tempfile
import threading
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from clipreel import compare_videos
from clipreel.sample.pairs import DESCRIPTION, STAGES, draw_pair
from clipreel.sample.scene import COLOURS
from clipreel.sample.video import write_video

FOLDER = Path(__file__).resolve().parents[2] / "sample" / "differencing"
SEED = 18
NAMES = ("first.mp4", "second.mp4")

_STAGES = {"stages": [
    {"name": form, "description": f"the {form} is shown",
     "retrieval_strings": [f"A photo of a {form}", *(f"A photo of a {colour} {form}" for colour in COLOURS)]} for form in STAGES]}


def answer_to(schema: dict, differences: list[dict]) -> dict:
    """The answer of stage 1 that has this schema."""
    if "differences" in schema["properties"]:
        return {"differences": differences}
    if "links" in schema["properties"]:
        forms = [next(form for form in STAGES if form in one["name"]) for one in differences]
        return {"links": [{"difference": str(number), "stages": [str(STAGES.index(form))]} for number, form in enumerate(forms)]}
    return _STAGES


def draw(folder: Path) -> None:
    """Two videos, `features/` and `answers.sqlite` in `folder`."""
    pair = draw_pair(SEED, width=240, height=180, fps=Fraction(12))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for script, name in zip(pair.scripts, NAMES, strict=True):
        write_video(script, folder / name)
    differences = [{"name": f"{one.kind} of the {one.form}", "statement": one.statement, "opposite": one.opposite,
                    "span": "several" if one.is_several else "frame"} for one in pair.differences]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = json.dumps(answer_to(asked["response_format"]["json_schema"]["schema"], differences))
            body = json.dumps({
                "id": "written by hand", "object": "chat.completion", "created": 0, "model": asked["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory() as made:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run = compare_videos(videos=[str(folder / name) for name in NAMES], action=DESCRIPTION, model_name="tiny", device="cpu",
                             base_url=f"http://127.0.0.1:{server.server_port}/v1", cache_path=str(folder / "answers.sqlite"),
                             output_path=made)
        server.shutdown()
        if run.exit_code:
            raise RuntimeError(run.run["failed"])
        shutil.copytree(next(Path(made, "features").glob("fps_*/clip/tiny")), folder / "features")
    for meta in sorted((folder / "features").glob("*_meta.json")):  # whose machine drew them is nobody's matter
        content = json.loads(meta.read_text())
        content["source"]["path"] = Path(content["source"]["path"]).name
        meta.write_text(json.dumps(content, indent=2))
    with sqlite3.connect(folder / "answers.sqlite") as answers:
        answers.execute("PRAGMA journal_mode=DELETE")  # one file, that reading changes nothing of
        answers.execute("UPDATE answers SET seconds = 0")


if __name__ == "__main__":
    draw(FOLDER)
    sys.stdout.write("".join(f"{path} ({path.stat().st_size / 1000:.0f} kB)\n" for path in sorted(FOLDER.rglob("*.*"))))
