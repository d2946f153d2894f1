"""What the demo leaves behind: a page that holds its pictures, and a contact sheet beside it."""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import build
import sheet
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from camml.durable import write_file

if TYPE_CHECKING:
    from demo import Answered


def write(answers: Sequence["Answered"], out: Path) -> Path:
    """Write `index.html` and `contact_sheet.png` into the folder `out`; return the path of the page."""
    out.mkdir(parents=True, exist_ok=True)
    png = io.BytesIO()
    sheet.draw(answers).save(png, "PNG", optimize=True)
    write_file(out / "contact_sheet.png", png.getvalue())
    write_file(out / "index.html", html(answers).encode())
    return out / "index.html"


def html(answers: Sequence["Answered"]) -> str:
    """Return the whole page, pictures included, so that it can be sent to somebody as it is."""
    folder = FileSystemLoader(Path(__file__).parent)
    templates = Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template("page.html").render(
        answers=answers,
        right=sum(answered.right for answered in answers),
        unaided=sum(answered.unaided_right for answered in answers),
        seconds=sum(answered.retrieving + answered.answering for answered in answers) / max(len(answers), 1),
        context_tokens=context_tokens(),
        image=image,
        sources=(build.FACTS, *build.STYLES.values()),
    )


def context_tokens() -> int:
    """Return how many tokens the demo's model makes of its samples: two for each query of its perceivers."""
    packed = json.loads((build.ROOT / "models" / "camml-mini" / "packed.json").read_text())
    return 2 * int(packed["sizes"]["perceiver_queries"])


def image(path: Path, alt: str) -> dict[str, str | int]:
    """Return the attributes of an `img` element that holds the picture itself."""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as opened:
        width, height = opened.size
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"source": source, "width": width, "height": height, "alt": alt}
