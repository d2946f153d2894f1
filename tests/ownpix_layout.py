"""A tiny OwnPix: three things, all files of questions, and the answers that are right."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

THINGS = {"pan": {"weight": "2 kg", "price": "9 euros"}, "cup": {"weight": "1 kg"}, "saw": {"price": "14 euros"}}
FIELDS = ("weight", "price")
FILES = ("short", "long", "unanswerable", "validation")


def write_ownpix(folder: Path) -> dict[str, dict[str, str]]:
    """Task name to right answers by question id; samples.json is there too."""
    folder.mkdir(parents=True, exist_ok=True)
    samples: list[dict[str, Any]] = []
    questions: dict[str, list[dict[str, Any]]] = {name: [] for name in FILES}
    for number, (thing, facts) in enumerate(THINGS.items()):
        images = [_picture(folder, style, thing, number) for style in ("stored", "rotated")]
        about = {"topic": "goods", "class": thing, "length": "short"}
        meta = {**about, "style": "stored", "facts": facts, "also": {}}
        told = "; ".join(f"{field}: {value}" for field, value in facts.items())
        samples.append({"id": f"goods_{thing}", "image": images[0], "text": told, "meta": meta})
        for field in FIELDS:
            kind = "open" if field in facts else "unanswerable"
            answer = facts.get(field, "not in the samples")
            asked = {**about, "style": "rotated", "field": field, "kind": kind, "answer": answer}
            turns = [{"from": "human", "value": f"<image>\nIts {field}?"}, {"from": "gpt", "value": answer}]
            for name in ("short", "long", "validation") if kind == "open" else ("unanswerable",):
                key = f"{name}/{thing}/{field}"
                questions[name].append({"id": key, "image": images[1], "conversations": turns, "meta": asked})
    (folder / "samples.json").write_text(json.dumps(samples))
    for name, records in questions.items():
        (folder / f"{name}.json").write_text(json.dumps(records))
    return {f"ownpix_{name}": {r["id"]: r["meta"]["answer"] for r in rs} for name, rs in questions.items()}


def _picture(folder: Path, style: str, thing: str, number: int) -> str:
    path = folder / "images" / "goods" / style / f"{thing}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (30 + 80 * number, 200 - 70 * number, 10 if style == "stored" else 14)).save(path)
    return path.relative_to(folder).as_posix()
