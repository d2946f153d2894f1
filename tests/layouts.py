"""The benchmarks in their official layout, a few questions each, and the answers that are right."""

import base64
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from tests.factpix_layout import write_factpix
from tests.ownpix_layout import write_ownpix

SHORT = "Answer the question using a single word or phrase."
Records = list[dict[str, Any]]


def write_benchmarks(folder: Path) -> dict[str, Records]:
    """Task name to the records of a perfect answer file; the data is under `folder`."""
    return {
        **_scienceqa(folder / "scienceqa"),
        **_vqa(folder),
        "gqa": _gqa(folder / "gqa"),
        "textvqa": _textvqa(folder / "textvqa"),
        "pope": _pope(folder / "pope"),
        "mme": _mme(folder / "MME"),
        "mmbench": _mmbench(folder / "mmbench" / "mmbench_dev_20230712.tsv"),
        "mmbench_cn": _mmbench(folder / "mmbench_cn" / "mmbench_dev_cn_20231003.tsv"),
        "seed_bench": _seed(folder / "seed_bench"),
        "mmvet": _mmvet(folder / "mm-vet"),
        **_captions(folder),
        "aokvqa": _aokvqa(folder / "aokvqa"),
        **_boxes(folder),
        **_factpix(folder / "factpix"),
        **_ownpix(folder / "ownpix"),
    }


def lines(path: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """A JSON-lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def document(path: Path, value: Any) -> Path:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def picture(path: Path, number: int, size: tuple[int, int] = (40, 30)) -> str:
    """A picture of one colour; its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (number * 40 % 256, number * 90 % 256, 120)).save(path)
    return path.name


def _scienceqa(folder: Path) -> dict[str, Records]:
    ids, letters = ["4", "5", "11", "15"], "BACA"
    problems, entries = {}, {"CQM-A": [], "QCM-LEPA": []}
    for number, (key, letter) in enumerate(zip(ids, letters, strict=True)):
        choices = ["red", "green", "blue"]
        problems[key] = {
            "question": f"Question {key}?", "choices": choices, "answer": "ABC".index(letter),
            "hint": "h" * (number % 2),
            "subject": ("natural science", "social science", "language science", "natural science")[number],
            "grade": f"grade{3 * number + 2}",
        }  # fmt: skip
        image = {"image": f"{key}/image.png"} if number % 2 else {}
        if image:
            picture(folder / "images" / "test" / key / "image.png", number)
        mark = "<image>\n" if image else ""
        question = f"{mark}Question {key}?\n" + "\n".join(f"{a}. {b}" for a, b in zip("ABC", choices, strict=True))
        for name, said in (("CQM-A", letter), ("QCM-LEPA", f"LECTURE: Colours.\nANSWER: {letter}.")):
            turns = [{"from": "human", "value": question}, {"from": "gpt", "value": said}]
            entries[name].append({"id": key, **image, "conversations": turns})
    document(folder / "problems.json", problems)
    for name, entry in entries.items():
        document(folder / f"llava_test_{name}.json", entry)
    return {
        "scienceqa": [answer(key, letter) for key, letter in zip(ids, letters, strict=True)],
        "scienceqa_ft": [answer(key, f"Because. ANSWER: {letter}.") for key, letter in zip(ids, letters, strict=True)],
    }


def answer(question_id: str | int, text: str, prompt: str = "") -> dict[str, Any]:
    """A record of an answer file as LLaVA writes it."""
    return {
        "question_id": question_id,
        "prompt": prompt,
        "text": text,
        "answer_id": "x",
        "model_id": "m",
        "metadata": {},
    }


def _vqa(folder: Path) -> dict[str, Records]:
    right = ["yes", "2", "red bus"]
    for task, file, images in (
        ("vqav2", "llava_vqav2_mscoco_test-dev2015.jsonl", "test2015"),
        ("vizwiz", "llava_test.jsonl", "test"),
        ("okvqa", "llava_okvqa_val.jsonl", "."),
    ):
        names = [picture(folder / task / images / f"{number}.png", number) for number in range(3)]
        lines(
            folder / task / file,
            ({"question_id": n, "image": name, "text": f"What is {n}?\n{SHORT}"} for n, name in enumerate(names)),
        )
    annotations = [
        {"question_id": n, "answer_type": "other", "answers": [{"answer": text, "answer_id": k} for k in range(10)]}
        for n, text in enumerate(right)
    ]
    document(folder / "okvqa" / "llava_okvqa_val_gt.json", {"annotations": annotations})
    answers = [answer(n, text) for n, text in enumerate(right)]
    okvqa = [{"question_id": record["question_id"], "answer": record["text"]} for record in answers]
    return {"vqav2": answers, "vizwiz": answers, "okvqa": okvqa}


def _gqa(folder: Path) -> Records:
    truth = {}
    for number, (text, kind) in enumerate((("yes", "verify"), ("left", "choose"), ("dog", "query"))):
        picture(folder / "data" / "images" / f"n{number}.jpg", number)
        steps = [{"operation": "select", "argument": "dog"}, {"operation": "query", "argument": "name"}]
        types = {"structural": kind, "semantic": "obj", "detailed": "x"}
        truth[f"20{number}"] = {
            "question": "Is it so?", "answer": text, "types": types, "semantic": steps, "isBalanced": True
        }  # fmt: skip
    document(folder / "data" / "testdev_balanced_questions.json", truth)
    questions = ({"question_id": key, "image": f"n{key[-1]}.jpg", "text": f"Is it so?\n{SHORT}"} for key in truth)
    lines(folder / "llava_gqa_testdev_balanced.jsonl", questions)
    return [answer(key, entry["answer"].capitalize() + ".") for key, entry in truth.items()]


def _textvqa(folder: Path) -> Records:
    asked = [("a1", "What brand?", "Nous"), ("a1", "What year?", "1998"), ("b2", "What word?", "stop")]
    document(
        folder / "TextVQA_0.5.1_val.json",
        {"data": [
            {"image_id": image, "question": question, "question_id": 34600 + n, "answers": [text.lower()] * 10}
            for n, (image, question, text) in enumerate(asked)
        ]},
    )  # fmt: skip
    prompts = [f"{question}\nReference OCR token: X, {text}\n{SHORT}" for _, question, text in asked]
    for image in ("a1", "b2"):
        picture(folder / "train_images" / f"{image}.jpg", 1)
    lines(
        folder / "llava_textvqa_val_v051_ocr.jsonl",
        (
            {"question_id": image, "image": f"{image}.jpg", "text": prompt}
            for (image, _, _), prompt in zip(asked, prompts, strict=True)
        ),
    )
    return [answer(image, text, prompt) for (image, _, text), prompt in zip(asked, prompts, strict=True)][::-1]


def _pope(folder: Path) -> Records:
    questions, answers = [], []
    for split in ("adversarial", "popular", "random"):
        labels = []
        for number in range(4):
            image = picture(folder / "val2014" / f"{number // 2}.jpg", number // 2)
            text, label = f"Is there a thing {number} in the image?", ("yes", "no")[number % 2]
            labels.append({"question_id": number + 1, "image": image, "text": text, "label": label})
            key = len(questions) + 1
            questions.append({"question_id": key, "image": image, "text": f"{text}\n{SHORT}", "category": split})
            answers.append(answer(key, "Yes" if label == "yes" else "No, there is not."))
        lines(folder / "coco" / f"coco_pope_{split}.json", labels)
    lines(folder / "llava_pope_test.jsonl", questions)
    return answers


def _mme(folder: Path) -> Records:
    release, questions, answers = folder / "MME_Benchmark_release_version", [], []
    for subtask, apart in (("existence", False), ("artwork", True), ("code_reasoning", False)):
        for number in range(2):
            place = release / subtask / ("images" if apart else "")
            image = picture(place / f"000{number}.jpg", number)
            beside = release / subtask / "questions_answers_YN" if apart else place
            beside.mkdir(parents=True, exist_ok=True)
            space = " " if number else "  "
            asked = (("Is it so?", "Yes"), ("Is it not?", "No"))
            text = "".join(f"{question}{space}Please answer yes or no.\t{said}\n" for question, said in asked)
            (beside / f"000{number}.txt").write_text(text)
            key = f"{subtask}/images/{image}" if apart else f"{subtask}/{image}"
            for question, said in asked:
                prompt = f"{question}\n{SHORT}"
                questions.append({"question_id": key, "image": key, "text": prompt, "category": subtask})
                answers.append(answer(key, said, prompt))
    lines(folder / "llava_mme.jsonl", questions)
    return answers


def _mmbench(path: Path) -> Records:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(buffer, "PNG")
    code = base64.b64encode(buffer.getvalue()).decode()
    columns = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "source", "l2-category",
               "comment", "split"]  # fmt: skip
    rows, answers = ["\t".join(columns)], []
    for base, texts in ((241, ["cat", "dog"]), (252, ["one", "two", "three"])):
        for turn in range(len(texts)):
            turned = texts[turn:] + texts[:turn]
            letter = "ABCD"[(1 - turn) % len(texts)]
            index = base + turn * 1_000_000
            cells = [*turned, *[""] * (4 - len(turned))]
            category = f"kind {base}"
            rows.append(
                "\t".join([str(index), "Which?", "A hint.", *cells, letter, category, code, "x", "l2", "", "dev"])
            )
            answers.append(answer(index, letter))
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(rows) + "\n")
    return answers


def _seed(folder: Path) -> Records:
    types = {"Scene Understanding": 1, "Action Recognition": 10}
    entries, questions = [], []
    for number, (kind, place) in enumerate((("image", "SEED-Bench-image"), ("video", "SEED-Bench-video-image")) * 2):
        image = picture(folder / place / f"{number}.png", number)
        key = str(100 + number) if number else "v0"
        options = {f"choice_{letter}": letter for letter in "abcd"}
        entries.append({
            "answer": "ABCD"[number], **options, "data_type": kind, "question_id": key, "question": "Which?",
            "question_type_id": 1 if kind == "image" else 10, "data_id": image,
        })  # fmt: skip
        asked: str | int = int(key) if key.isdigit() else key
        questions.append({"question_id": asked, "image": f"{place}/{image}", "text": "Which?\nA. a\nB. b\nC. c\nD. d"})
    document(folder / "SEED-Bench.json", {"question_type": types, "questions": entries})
    lines(folder / "llava-seed-bench.jsonl", questions)
    return [answer(asked["question_id"], entry["answer"]) for asked, entry in zip(questions, entries, strict=True)]


def _mmvet(folder: Path) -> Records:
    truth = {}
    for number, capabilities in enumerate((["ocr", "math"], ["rec"], ["math", "ocr"])):
        image = picture(folder / "images" / f"v1_{number}.png", number)
        truth[f"v1_{number}"] = {
            "imagename": image, "question": f"What is {number}?", "answer": "a<OR>b", "capability": capabilities
        }  # fmt: skip
    document(folder / "mm-vet.json", truth)
    lines(
        folder / "llava-mm-vet.jsonl",
        ({"question_id": n, "image": f"v1_{n}.png", "text": f"What is {n}?"} for n in range(3)),
    )
    document(folder / "grades.json", {key: {"model": ["j"], "content": ["1.0"], "score": [1.0]} for key in truth})
    return [answer(n, "a") for n in range(3)]


def _captions(folder: Path) -> dict[str, Records]:
    said = {11: "a dog runs on the beach", 12: "two people ride a red bus"}
    for place, file, references, images in (
        ("cococap", "llava_coco_cap_karpathy_test.jsonl", "test_caption_coco_format.json", "val2014"),
        ("flickr30k", "llava_flickr30k_test.jsonl", "test_caption_flickr30k.json", ""),
    ):
        questions = []
        for key in said:
            inside = folder / place / (images or "flickr30k-images")
            image = picture(inside / f"{key}.jpg", key)
            image = f"{images}/{image}" if images else image
            questions.append({"image_id": key, "image": image, "text": "Provide a one-sentence caption."})
        lines(folder / place / file, questions)
        annotations = [{"image_id": key, "id": key, "caption": text} for key, text in said.items()]
        document(folder / place / references, {"images": [{"id": key} for key in said], "annotations": annotations})
    answers = [{"image_id": key, "caption": text} for key, text in said.items()]
    return {"coco_caption": answers, "flickr30k_caption": answers}


def _aokvqa(folder: Path) -> Records:
    choices = ["tree", "bus", "dog", "cup"]
    truth, questions = [], []
    for number in range(3):
        image = picture(folder / "val2017" / f"{number}.jpg", number)
        key = f"q{number}"
        truth.append({
            "question_id": key, "choices": choices, "correct_choice_idx": number,
            "direct_answers": [choices[number]] * 10, "difficult_direct_answer": number == 2,
        })  # fmt: skip
        text = "Which?\n" + "\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCD", choices, strict=True))
        questions.append({"question_id": key, "image": f"val2017/{image}", "text": text})
    document(folder / "llava_aokvqa_val_gt.json", truth)
    lines(folder / "llava_aokvqa_val.jsonl", questions)
    said = ("A", "bus", "C. dog")
    return [{"question_id": entry["question_id"], "answer": text} for entry, text in zip(truth, said, strict=True)]


def _factpix(folder: Path) -> dict[str, Records]:
    right = write_factpix(folder)
    return {task: [answer(key, text) for key, text in its.items()] for task, its in right.items()}


def _ownpix(folder: Path) -> dict[str, Records]:
    right = write_ownpix(folder)
    return {task: [answer(key, text) for key, text in its.items()] for task, its in right.items()}


def _boxes(folder: Path) -> dict[str, Records]:
    boxes = [[0.1, 0.2, 0.5, 0.6], [0.25, 0.0, 0.75, 1.0]]
    results = {}
    for task in ("refcoco", "refcocop", "refcocog"):
        questions = []
        for number in range(2):
            image = picture(folder / task / "train2014" / f"{number}.jpg", number)
            text = "Please provide the bounding box coordinate of the region this sentence describes: the dog."
            questions.append({"obj_id": number, "image": f"train2014/{image}", "text": text})
        lines(folder / task / f"llava_{task}_val.jsonl", questions)
        truth = [{"obj_id": number, "bbox": box} for number, box in enumerate(boxes)]
        document(folder / task / f"llava_{task}_val_gt.json", truth)
        results[task] = [{"obj_id": number, "predict_boxes": str(box)} for number, box in enumerate(boxes)]
    return results
