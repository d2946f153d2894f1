"""Emoji in the drawings of several makers, with their names, groups and keywords."""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camml.factpix import icons
from camml.factpix.catalog import Entry, Fact, slug
from camml.factpix.sources import Source
from camml.factpix.topics import _emoji_sets

NAMES = Source(
    "emojibase-data",
    "17.0.0",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    "Emojibase (names and keywords of Unicode CLDR)",
    "Miles Johnson; Unicode, Inc.",
    "MIT; Unicode-3.0",
    "https://github.com/milesj/emojibase",
)
STYLES: Mapping[str, Source] = {
    "emojione": _emoji_sets.EMOJIONE,
    "fluent-emoji": _emoji_sets.FLUENT,
    "fluent-emoji-flat": _emoji_sets.FLUENT_FLAT,
    "fxemoji": _emoji_sets.FXEMOJI,
    "noto": _emoji_sets.NOTO,
    "noto-v1": _emoji_sets.NOTO_V1,
    "openmoji": _emoji_sets.OPENMOJI,
    "twemoji": _emoji_sets.TWEMOJI,
}
SOURCES = (NAMES, *STYLES.values())
ASKED_STYLE, NEW_STYLE, ASKED_STYLES = "twemoji", "openmoji", 2

LEFT_OUT = (None, 2, 9)
"""Groups of emojibase: letters that form flags, skin tones and hair, flags (a topic of their own)."""

FACE_SUBGROUPS = {
    "face-smiling": "smiling faces",
    "face-affection": "affectionate faces",
    "face-tongue": "faces with tongue",
    "face-hand": "faces with hands",
    "face-neutral-skeptical": "neutral and skeptical faces",
    "face-sleepy": "sleepy faces",
    "face-unwell": "unwell faces",
    "face-hat": "faces with hats",
    "face-glasses": "faces with glasses",
    "face-concerned": "concerned faces",
    "face-negative": "angry faces",
    "face-costume": "costumes and creatures",
    "hand-fingers-open": "open hands",
    "hand-fingers-closed": "closed hands",
    "hand-single-finger": "pointing fingers",
    "person-resting": "resting people",
    "person-sport": "athletes",
    "person-activity": "people doing something",
    "person-role": "roles and careers",
    "food-prepared": "prepared food",
    "food-asian": "Asian food",
    "food-sweet": "sweets and candy",
    "drink": "drinks",
    "phone": "phones",
    "computer": "computers",
}
"""Subgroups whose own short name makes no sense in a sentence."""

FACING_RIGHT = "200d-27a1"
"""In the codes of mirror images of other emoji, which are left out."""

MODIFIERS = re.compile(r"-(fe0f|200d-(2640|2642))")
"""Parts of a code that make a variant: presentation, woman, man."""
PERSON = re.compile(r"^(1f468|1f469|1f9d1)(?=-200d)")
TWINS: Mapping[str, str] = {
    **dict.fromkeys(("1f468", "1f469", "1f9d1"), "adult"),
    **dict.fromkeys(("1f474", "1f475", "1f9d3"), "old person"),
    **dict.fromkeys(("1f466", "1f467", "1f9d2"), "child"),
    **dict.fromkeys(("1f385", "1f936", "adult-200d-1f384"), "claus"),
    **dict.fromkeys(("1f934", "1f478", "1fac5"), "royalty"),
    **dict.fromkeys(("1f57a", "1f483"), "dancing"),
    **dict.fromkeys(("1f930", "1fac3", "1fac4"), "pregnant"),
}
WORDS = re.compile(r"[A-Za-z]{3,}( [A-Za-z]{2,})*")
"""Keywords that are words; others are smileys made of letters, and digits."""

TOGETHER = ("family", "couple", "kiss:", "holding hands", "people", "bunny ears", "wrestling")


def entries() -> Sequence[Entry]:
    """Return every emoji but flags, skin tones, letters and mirror images."""
    folder = NAMES.fetch()
    messages = json.loads((folder / "en" / "messages.json").read_text(encoding="utf-8"))
    spanish = {record["hexcode"]: record["label"] for record in _records(folder, "es")}
    sets = {style: icons.read(source.fetch() / "icons.json") for style, source in STYLES.items()}
    entries = []
    for record in _records(folder, "en"):
        code = record["hexcode"].lower()
        if record.get("group") in LEFT_OUT or FACING_RIGHT in code:
            continue
        known = facts(record, messages, spanish.get(record["hexcode"], ""))
        entries.append(Entry(code, kin(code, record["label"]), known, drawings(record, sets)))
    return sorted(entries, key=lambda entry: entry.key)


def drawings(record: Mapping[str, Any], sets: Mapping[str, icons.IconSet]) -> dict[str, icons.IconDrawing]:
    """Return the emoji in every style that has it; sets without a table of characters are searched by name."""
    code = record["hexcode"].lower().replace("-fe0f", "")
    name = slug(record["label"])
    known = [names for icon_set in sets.values() if (names := icon_set.names_of_characters.get(code))]
    by_style = {}
    for style, icon_set in sets.items():
        if style == "fxemoji":
            tried = [_run_together(code)]
        elif icon_set.names_of_characters:
            tried = [icon_set.names_of_characters.get(code, "")]
        else:
            tried = [sets["noto"].names_of_characters.get(code, ""), name, *known]
        by_style[style] = next(filter(None, map(icon_set.drawing, tried)), None)
    return {style: drawing for style, drawing in by_style.items() if drawing}


def facts(record: Mapping[str, Any], messages: Mapping[str, Any], spanish: str) -> dict[str, Fact]:
    """Return the known facts about an emoji, field by field."""
    label = record["label"]
    group = next(entry["message"] for entry in messages["groups"] if entry["order"] == record["group"])
    subgroup = next(entry for entry in messages["subgroups"] if entry["order"] == record["subgroup"])
    kind = FACE_SUBGROUPS.get(subgroup["key"], subgroup["message"])
    tags = [tag for tag in record.get("tags", ()) if WORDS.fullmatch(tag) and tag not in label and label not in tag]
    known = {
        "name": Fact((label,), phrase=f"“{label}”"),
        "group": Fact((_spelled(group),), (group,) if "&" in group else ()),
        "kind": Fact((_spelled(kind),), (kind,) if "&" in kind else ()),
        "keyword": Fact(tuple(tags[:3])),
        "spanish": Fact((spanish,) if spanish and spanish != label else (), phrase=f"“{spanish}”"),
    }
    return {field: fact for field, fact in known.items() if fact.values}


def kin(code: str, label: str) -> str:
    """Return what the variants of one emoji have in common: woman, man and person; all families."""
    if label.startswith(TOGETHER) or any(f" {word}" in label for word in TOGETHER):
        return "people together"
    if "o’clock" in label or "-thirty" in label:
        return "clock face"
    plain = PERSON.sub("adult", MODIFIERS.sub("", code))
    return TWINS.get(plain, plain)


def _spelled(text: str) -> str:
    return text.replace(" & ", " and ").replace(" / ", " or ")


def _run_together(code: str) -> str:
    """Return the Unicode name of a single character without spaces, as FxEmojis calls its drawings."""
    name = "" if "-" in code else unicodedata.name(chr(int(code, 16)), "")
    return re.sub(r"[ -]", "", name.lower())


def _records(folder: Path, language: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((folder / language / "data.json").read_text(encoding="utf-8"))
    return records
