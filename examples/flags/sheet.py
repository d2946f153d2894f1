"""All questions of the demo on one picture: the flag asked about, the samples found, answer and verdict."""

import textwrap
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from demo import Answered

COLUMNS = 5
CELL = (320, 286)
MARGIN, HEADER = 24, 84
BIG, SMALL = (140, 105), (48, 32)
"""The frames, in pixels, that pictures are fitted into: the one asked about, and those found."""
INK, SOFT, LINE, PAPER = "#1a1d21", "#5a626c", "#d9dde2", "#f6f7f8"
VERDICT = {True: ("right", "#0a6b3d"), False: ("WRONG", "#b3261e")}
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "Helvetica.ttc")


class Pen:
    """Writes and pastes on one picture, with whatever font the machine has."""

    def __init__(self, canvas: Image.Image) -> None:
        self.canvas = canvas
        self._draw = ImageDraw.Draw(canvas)
        self._name = next((name for name in FONTS if _has(name)), None)

    def write(self, place: tuple[int, int], text: str, size: int, color: str = INK) -> None:
        """Write one line; Pillow's own font knows no accents, so they are left out with it."""
        font = ImageFont.truetype(self._name, size) if self._name else ImageFont.load_default(size)
        self._draw.text(place, text if self._name else _plain(text), font=font, fill=color)

    def paste(self, place: tuple[int, int], path: Path, frame: tuple[int, int]) -> None:
        """Paste a picture, fitted into a frame whose corner is at `place`, with a line around it."""
        with Image.open(path) as opened:
            small = opened.convert("RGB")
        small.thumbnail(frame, Image.Resampling.LANCZOS)
        self.canvas.paste(small, place)
        right, bottom = place[0] + small.width, place[1] + small.height
        self.box((place[0] - 1, place[1] - 1, right, bottom))

    def box(self, edges: tuple[int, int, int, int], fill: str | None = None) -> None:
        """A rectangle with a thin line."""
        self._draw.rectangle(edges, outline=LINE, fill=fill)


def draw(answers: Sequence["Answered"]) -> Image.Image:
    """The contact sheet."""
    columns = min(COLUMNS, max(len(answers), 3))
    rows = -(-len(answers) // columns)
    size = (2 * MARGIN + columns * CELL[0], HEADER + MARGIN + rows * CELL[1])
    pen = Pen(Image.new("RGB", size, PAPER))
    right = sum(answer.right for answer in answers)
    unaided = sum(answer.unaided_right for answer in answers)
    pen.write((MARGIN, 20), f"{right} of {len(answers)} right", 28)
    pen.write((MARGIN, 56), f"without the evidence, the same model: {unaided} of {len(answers)}", 14, SOFT)
    for index, answer in enumerate(answers):
        row, column = divmod(index, columns)
        _cell(pen, (MARGIN + column * CELL[0], HEADER + row * CELL[1]), index + 1, answer)
    return pen.canvas


def _cell(pen: Pen, corner: tuple[int, int], number: int, answered: "Answered") -> None:
    x, y = corner[0] + 14, corner[1] + 12
    pen.box((corner[0], corner[1], corner[0] + CELL[0] - 10, corner[1] + CELL[1] - 10), "white")
    pen.write((x, y), f"{number}. {answered.question.text}", 13)
    pen.paste((x, y + 26), answered.picture, BIG)
    for place, neighbor in enumerate(answered.context):
        top = y + 26 + 36 * place
        if neighbor.sample.image is not None:
            pen.paste((x + BIG[0] + 14, top), neighbor.sample.image, SMALL)
        pen.write((x + BIG[0] + 70, top + 2), _short(neighbor.sample.id, 12), 11, INK if place == 0 else SOFT)
        pen.write((x + BIG[0] + 70, top + 16), f"{neighbor.score:.3f}", 11, SOFT)
    lines = textwrap.wrap(answered.answer or "(no answer)", 42)
    for index, line in enumerate(lines[:3]):
        pen.write((x, y + 146 + 18 * index), line, 13)
    word, color = VERDICT[answered.right]
    pen.write((x, y + 206), word, 14, color)
    pen.write((x, y + 228), _short(f"true: {answered.question.true_text}", 46), 11, SOFT)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _has(name: str) -> bool:
    try:
        ImageFont.truetype(name, 12)
    except OSError:
        return False
    return True
