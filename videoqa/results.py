"""The files that answering leaves: the flat predictions, the benchmark's schema, run.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .answers import VideoAnswers

# The names that the benchmark's users know; they hold the answers of any model.
FLAT, GROUPED, RUN, ABLATION = "viclip_predictions.json", "viclip_output_test.json", "run.json", "ablation.json"


def flat_records(videos: Sequence[VideoAnswers]) -> list[dict[str, Any]]:
    """A record a question. `video_id` is the videoID here, as users of this file expect; the number is `video_number`."""
    return [{
        "video_id": one.video.name, "question_id": answer.question.question_id, "answer": answer.question.answer,
        "response": answer.response, "videoID": one.video.name, "video_number": one.video.video_id,
        "duration": one.video.duration, "domain": one.video.domain, "sub_category": one.video.sub_category,
        "task_type": answer.question.task_type, "question": answer.question.question,
        "options": list(answer.question.options), "prediction": answer.letter, "scores": list(answer.scores),
        "probabilities": list(answer.probabilities), "margin": answer.margin, "status": answer.status,
        "cut": answer.is_cut, "reason": one.reason,
    } for one in videos for answer in one.answers]


def grouped_records(videos: Sequence[VideoAnswers]) -> list[dict[str, Any]]:
    """The benchmark's schema: every video of the dataset, `missing` where there is no answer (its responses are "").
    `status` is ours; the benchmark's program does not read it."""
    return [{
        "video_id": one.video.video_id, "duration": one.video.duration, "domain": one.video.domain,
        "sub_category": one.video.sub_category, "missing": one.is_missing, "questions": [{
            "question_id": answer.question.question_id, "task_type": answer.question.task_type,
            "question": answer.question.question, "options": list(answer.question.options),
            "answer": answer.question.answer, "response": answer.response, "status": answer.status,
        } for answer in one.answers],
    } for one in videos]
