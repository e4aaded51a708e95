"""The two commands as words: help, output, exit codes; and the program that draws questions."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from clipreel import cli
from clipreel.configs.load import keys_of
from clipreel.configs.videoqa_schema import VideoqaAnswerConfig, VideoqaEvaluateConfig
from clipreel.sample.questions import SAMPLE_FOLDER, SAMPLE_SEED, SAMPLE_VIDEOS, make_questions, questions_of, script_of

MAIN = Path(__file__).resolve().parents[2] / "main.py"


def test_help(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "videoqa answer" in out and "videoqa evaluate" in out
    for name, schema in (("answer", VideoqaAnswerConfig), ("evaluate", VideoqaEvaluateConfig)):
        assert cli.main(["videoqa", name, "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        for key in keys_of(schema):
            place = next(number for number, line in enumerate(lines) if line.startswith(f"{key.name} = "))
            assert lines[place + 1] == f"    {key.meaning}"
    assert cli.main(["videoqa", "answer", "feature_type=clip", "--help"]) == 0
    assert "model_name = ViT-B/32" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "said"), [
    (["videoqa"], "videoqa answer, videoqa evaluate"), (["videoqa", "anser"], "no command"),
    (["videoqa", "answer"], "dataset="), (["videoqa", "evaluate"], "results_file="),
    (["videoqa", "answer", "dataset=x", "video_root=y", "feature_type=vclip"], "did you mean 'viclip'"),
    (["feature_type=videoqa"], "allowed is clip"),
])
def test_wrong_words(capsys, words, said):
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


def test_the_repository_s_questions(capsys, tmp_path):
    """The README's example."""
    dataset = SAMPLE_FOLDER / "videomme" / "test-00000-of-00001.parquet"
    assert cli.main(["videoqa", "answer", f"dataset={dataset}", f"video_root={SAMPLE_FOLDER}", "feature_type=clip",
                     "model_name=tiny", "device=cpu", f"output_path={tmp_path}", "--ablation"]) == 0
    out = capsys.readouterr().out
    assert "answered 12 of 12 questions about 4 of 4 videos" in out
    assert "pooling=max" in out
    assert json.loads((tmp_path / "run.json").read_text())["accuracy_percent"] >= 70
    assert cli.main(["videoqa", "evaluate", f"results_file={tmp_path}/viclip_output_test.json", "scoring=strict",
                     "video_duration_type=short", f"dataset={dataset}", "return_task_types_accuracy=true",
                     f"output_path={tmp_path}"]) == 0
    assert "overall" in capsys.readouterr().out


def test_missing_videos_are_exit_1(capsys, few, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "drawn710000.mp4").write_bytes((few.folder / "data" / "drawn710000.mp4").read_bytes())
    assert cli.main(["videoqa", "answer", f"dataset={few.dataset}", f"video_root={tmp_path}", "feature_type=clip",
                     "model_name=tiny", "device=cpu", f"output_path={tmp_path}/out"]) == 1
    out, err = capsys.readouterr()
    assert "answered 3 of 12 questions about 1 of 4 videos" in out
    assert "drawn710003" in err


def test_the_repository_s_videos_are_drawn_by_the_program(tmp_path):
    rows = make_questions(tmp_path, SAMPLE_VIDEOS, SAMPLE_SEED)
    assert len(rows) == 12
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(SAMPLE_FOLDER) for path in SAMPLE_FOLDER.rglob("*") if path.is_file())
    for path in files:
        if path.suffix != ".parquet":  # pyarrow writes its version into it
            assert (tmp_path / path).read_bytes() == (SAMPLE_FOLDER / path).read_bytes(), path
    assert sum(path.stat().st_size for path in SAMPLE_FOLDER.rglob("*") if path.is_file()) < 300_000


def test_drawn_questions_have_one_right_option():
    for number, seed in enumerate(range(720_000, 720_060)):
        script = script_of(seed)
        said = [scene.shape for scene in script.scenes]
        for row in questions_of(number, seed, script):
            assert len(set(row.options)) == 4
            right = row.options["ABCD".index(row.answer)][3:-1].lower()
            assert any(_is_said_of(right, shape) for shape in said)
            for option in row.options:
                if option[3:-1].lower() != right:
                    assert not any(_is_said_of(option[3:-1].lower(), shape) for shape in said)


def _is_said_of(text, shape):
    place = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
             "middle": "in the middle"}[shape.place]
    words = text.removeprefix("a ").removesuffix(place).split()
    asks_place = text.endswith(place)
    mentions = any(phrase in text for phrase in ("on the", "at the", "in the"))
    return (asks_place or not mentions) and all(word in (shape.colour, shape.shape, "shape") for word in words)


def test_importing_the_command_line_stays_light():
    code = ("import sys, clipreel.cli; heavy = {'torch', 'numpy', 'pyarrow', 'matplotlib', 'av'} & set(sys.modules); "
            "sys.exit(repr(heavy) if heavy else 0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_table_survives_a_narrow_terminal(monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert cli.main(["videoqa", "evaluate", "--help"]) == 0
