"""The data tree of the paper's README, tiny: ScienceQA as handed out, LLaVA-665K, the published pairs, benchmarks."""

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from camml import encoders
from camml.images import open_image
from tests.layouts import picture, write_benchmarks

SPLITS = {"train": ["1", "3", "6", "8", "12", "14"], "val": ["2"], "test": ["4", "5", "11", "15"]}
"""Problems of ScienceQA; those of the test split are also the ones of `write_benchmarks`."""

MIX = [
    ("000000033471", "coco/train2017/000000033471.jpg", ".jpg"),
    ("000000033471", "coco/train2017/000000033471.jpg", ".jpg"),  # ids repeat, as in the published file
    ("n161313", "gqa/images/n161313.jpg", ".jpg"),
    ("0001720106", "ocr_vqa/images/0001720106.jpg", ".gif"),  # the download script leaves GIFs under that name
    ("fd4b0fee0db6f2b8", "textvqa/train_images/fd4b0fee0db6f2b8.jpg", ".jpg"),
    ("VG_100K_2/2", "vg/VG_100K_2/2.jpg", ".jpg"),  # and hold slashes
    ("VG_100K/5", "vg/VG_100K/5.jpg", ".jpg"),
    ("wgByO4Y_0", None, ""),
    ("wgByO4Y_1", None, ""),
]
"""Id, image and the ending on the disk of the rows of the instructions."""


def write_tree(data: Path) -> Path:
    """Everything below `data/`, less the pairs; the folder of ScienceQA, to be converted."""
    science = data / "scienceqa"
    _write_scienceqa(science)
    _write_mix(data / "llava" / "llava_665k")
    write_benchmarks(data / "eval")
    return science


def write_pairs(data: Path, encoder: encoders.Encoder) -> None:
    """Both published pairs; their pictures are named from the repository's root, `data/...`."""
    science = [
        {"id": key, "image": f"data/scienceqa/images/train/{key}/image.png", "text": ["What is it? ", "red"]}
        for number, key in enumerate(SPLITS["train"])
        if number % 2
    ]
    _write_pair(data / "sqa_vision_flatIP.index", data / "sqa_train_post_memory_answer.json", science, encoder)
    mix = [
        {"id": key, "image": f"data/llava/llava_665k/{Path(image).with_suffix(suffix)}", "text": f"What is {key}?red"}
        for key, image, suffix in MIX
        if image
    ]
    _write_pair(data / "llava_665k_vision_flatIP.index", data / "llava_665k_memory_metadata.json", mix, encoder)


def _write_scienceqa(folder: Path) -> None:
    problems: dict[str, Any] = {}
    for split, keys in SPLITS.items():
        for number, key in enumerate(keys):
            problems[key] = {
                "question": f"Which of these is {key}?", "choices": ["red", "green"], "answer": number % 2,
                "hint": "Look." * (number % 3), "image": "image.png" if number % 2 else None, "task": "closed choice",
                "grade": "grade3", "subject": "natural science", "topic": "colours", "category": "c", "skill": "s",
                "lecture": "Colours differ." * (number % 2), "solution": "It is so.", "split": split,
            }  # fmt: skip
            if number % 2:
                picture(folder / "images" / split / key / "image.png", int(key))
    splits = {**SPLITS, "trainval": [*SPLITS["train"], *SPLITS["val"]], "minival": ["2"], "minitest": ["4", "5"]}
    (folder / "problems.json").write_text(json.dumps(problems))
    (folder / "pid_splits.json").write_text(json.dumps(splits))


def _write_mix(folder: Path) -> None:
    entries = []
    for number, (key, image, suffix) in enumerate(MIX):
        if image:
            picture((folder / image).with_suffix(suffix), number)
        mark = "<image>\n" if image else ""
        turns = [{"from": "human", "value": f"{mark}What is {number}?"}, {"from": "gpt", "value": f"It is {number}."}]
        turns += [{"from": "human", "value": "And now?"}, {"from": "gpt", "value": "The same."}] * (number % 2)
        entries.append({"id": key, **({"image": image} if image else {"model": ""}), "conversations": turns})
    (folder / "llava_v1_5_mix665k.json").write_text(json.dumps(entries))


def _write_pair(index_file: Path, json_file: Path, entries: list[dict[str, Any]], encoder: encoders.Encoder) -> None:
    root = json_file.parents[1]
    index = faiss.IndexFlatIP(encoder.image_dim)
    index.add(np.asarray(encoder.embed_images([open_image(root / entry["image"]) for entry in entries])))
    faiss.write_index(index, str(index_file))
    json_file.write_text(json.dumps(entries))
