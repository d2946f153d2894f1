"""SEED-Bench: multiple choice over images and over the middle frames of videos, in 12 dimensions."""

from pathlib import Path

from camml.errors import SampleError
from camml.evaluation import submissions
from camml.evaluation.files import read_json
from camml.evaluation.metrics.choices import seed_accuracy
from camml.evaluation.questions import LLAVA, read_questions, with_truth
from camml.evaluation.task import DataFile, Item, Task, published

SEED = "github.com/AILab-CVC/SEED-Bench (DATASET.md)"
QUESTIONS = DataFile("llava-seed-bench.jsonl", LLAVA)
TRUTH = DataFile("SEED-Bench.json", SEED)
IMAGES = DataFile("SEED-Bench-image", SEED, needed="run")
FRAMES = DataFile("SEED-Bench-video-image", SEED + ", frames by LLaVA's extract_video_frames.py", needed="run")


def read(folder: Path) -> list[Item]:
    """Read the items, with letter, kind of picture and dimension."""
    path = TRUTH.require(folder)
    items = read_questions(QUESTIONS.require(folder), folder)
    value = read_json(path)
    try:
        dimensions = {number: name for name, number in value["question_type"].items()}
        truth = {
            str(entry["question_id"]): {
                "answer": entry["answer"],
                "kind": entry["data_type"],
                "dimension": dimensions[entry["question_type_id"]],
            }
            for entry in value["questions"]
        }
    except (KeyError, TypeError, AttributeError):
        raise SampleError(
            f"{path} should be SEED-Bench's own file: an object with 'question_type' and 'questions'"
        ) from None
    return with_truth(items, truth, path)


TASK = Task(
    title="SEED-Bench",
    folder="seed_bench",
    files=(QUESTIONS, TRUTH, IMAGES, FRAMES),
    read=read,
    metric=seed_accuracy,
    headline="accuracy",
    submit=submissions.seed,
    submission="JSON lines for the SEED-Bench leaderboard",
    submission_suffix=".jsonl",
    published=published(60.4, 62.3, 58.6, 61.6),
)
