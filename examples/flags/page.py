"""What the demo leaves behind: a page that holds its pictures, and a contact sheet beside it."""

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import build
import sheet
from PIL import Image

from camml.durable import write_file
from camml.types import Neighbor

if TYPE_CHECKING:
    from demo import Answered

STYLE = """
:root { color-scheme: light dark; --ink: #1a1d21; --soft: #5a626c; --paper: #f6f7f8; --card: #fff; --line: #d9dde2;
  --right: #0a6b3d; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a4adb8; --paper: #14171a; --card: #1e2226;
  --line: #343a41; --right: #6fd3a0; --wrong: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; line-height: 1.2; }
.lead { color: var(--soft); max-width: 42rem; margin: 0 0 1rem; }
.sums { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 0 0 1.5rem; padding: 0; }
.sums div { display: flex; flex-direction: column-reverse; }
.sums dd { margin: 0; font-size: 1.6rem; font-weight: 650; line-height: 1.2; }
.sums dt { color: var(--soft); font-size: .875rem; }
article { display: grid; grid-template-columns: 11rem 1fr; gap: .5rem 1.25rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin: 0 0 1rem; }
img { display: block; max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: .25rem; }
.asked img { width: 100%; }
h2 { font-size: 1.05rem; margin: 0 0 .25rem; }
.answer { font-size: 1.1rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
.verdict { font-weight: 650; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
.soft { color: var(--soft); font-size: .875rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
ol { list-style: none; display: grid; grid-template-columns: repeat(3, 1fr); gap: .75rem; margin: .5rem 0 0;
  padding: 0; }
li { font-size: .8125rem; color: var(--soft); overflow-wrap: anywhere; }
li img { width: 100%; max-width: 8rem; margin-bottom: .4rem; }
li.nearest { color: var(--ink); } li.nearest img { outline: 2px solid currentColor; outline-offset: 2px; }
details { margin-top: .5rem; font-size: .875rem; } summary { cursor: pointer; color: var(--soft); }
footer { color: var(--soft); font-size: .875rem; margin-top: 2rem; }
@media (max-width: 36rem) { article { grid-template-columns: 1fr; } .asked img { max-width: 12rem; } }
"""


def write(answers: Sequence["Answered"], out: Path) -> Path:
    """Write `index.html` and `contact_sheet.png` into the folder `out`; where the page is."""
    out.mkdir(parents=True, exist_ok=True)
    png = io.BytesIO()
    sheet.draw(answers).save(png, "PNG", optimize=True)
    write_file(out / "contact_sheet.png", png.getvalue())
    write_file(out / "index.html", html(answers).encode())
    return out / "index.html"


def html(answers: Sequence["Answered"]) -> str:
    """The whole page, pictures included, so that it can be sent to somebody as it is."""
    right, unaided = (sum(getattr(one, name) for one in answers) for name in ("right", "unaided_right"))
    seconds = sum(one.retrieving + one.answering for one in answers) / max(len(answers), 1)
    sums = [
        (f"{right} of {len(answers)}", "right with the evidence"),
        (f"{unaided} of {len(answers)}", "right without it, same model"),
        (f"{seconds:.1f} s", "for a question, on average"),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Flags: {right} of {len(answers)} right</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        "<h1>Questions about flags, answered from a datastore</h1>\n"
        '<p class="lead">Each picture is drawn in a style that the datastore does not hold. The nearest samples are '
        f"found by the picture and the words, and the language model gets them as {context_tokens()} context tokens, "
        "however many they are. "
        "Its training showed no picture of the countries that are asked about first. "
        'Wrong answers are shown as they came.</p>\n<dl class="sums">\n'
        + "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>\n" for value, what in sums)
        + "</dl>\n"
        + "".join(card(number, one) for number, one in enumerate(answers, 1))
        + f"</main>\n<footer>{credit()}</footer>\n</body>\n</html>\n"
    )


def context_tokens() -> int:
    """Return how many tokens the demo's model makes of its samples: two for each query of its perceivers."""
    packed = json.loads((build.ROOT / "models" / "camml-mini" / "packed.json").read_text())
    return 2 * int(packed["sizes"]["perceiver_queries"])


def card(number: int, one: "Answered") -> str:
    """One question as HTML."""
    question, verdict = one.question, "right" if one.right else "wrong"
    flag = f"The flag asked about, of {question.country.in_sentence}"
    unaided = "right" if one.unaided_right else "wrong"
    return (
        f'<article id="q{number}">\n<div class="asked">{image(one.picture, flag)}</div>\n<div>\n'
        f"<h2>{number}. {escape(question.text)}</h2>\n"
        f'<p class="answer">{escape(one.answer) or "(no answer)"} '
        f'<span class="verdict {verdict}">{verdict.upper() if verdict == "wrong" else verdict}</span></p>\n'
        f'<p class="soft">True: {escape(question.true_text)}. '
        f"{one.retrieving + one.answering:.1f} s.</p>\n"
        "<ol>\n" + "".join(evidence(place, neighbor) for place, neighbor in enumerate(one.context)) + "</ol>\n"
        f"<details><summary>The nearest text, and what the model says without it</summary>\n"
        f"<p>{escape(one.context[0].sample.text) if one.context else ''}</p>\n"
        f"<p>Without: {escape(one.unaided) or '(no answer)'} "
        f'<span class="verdict {unaided}">{unaided}</span></p></details>\n</div>\n</article>\n'
    )


def evidence(place: int, neighbor: Neighbor) -> str:
    """One retrieved sample as HTML."""
    sample = neighbor.sample
    name = str(sample.meta.get("country", sample.id))
    picture = image(sample.image, f"Retrieved: the flag of {name}") if sample.image else ""
    nearest = " class=nearest" if place == 0 else ""
    return f"<li{nearest}>{picture}{escape(name)}<br>{escape(sample.id)}, score {neighbor.score:.3f}</li>\n"


def image(path: Path, alt: str) -> str:
    """An `img` element that holds the picture itself."""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as opened:
        width, height = opened.size
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}">'


def credit() -> str:
    """Who made the facts and the drawings, as HTML."""
    sources = ", ".join(
        f'<a href="{escape(source.home)}">{escape(source.title)}</a> '
        f"({escape(source.author)}, {escape(source.license)})"
        for source in (build.FACTS, *build.STYLES.values())
    )
    return f"Facts and drawings: {sources}."
