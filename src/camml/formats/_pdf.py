"""The pages of a PDF file as samples: a picture of each with its text, and the pictures on it."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from camml import durable
from camml.errors import DiskError, SampleError
from camml.formats import _entries, _walk

DPI = 150
LONGEST = 2000
"""Pixels of the longer side of a page at most."""
SMALLEST = 96
"""Pixels of the sides of a figure at least; smaller ones are logos and lines."""
WHOLE_PAGE = 0.8
"""The part of a page from which a picture is the page itself, as in a scan."""
MOST_FIGURES = 20
"""Figures cut out of a page, at most; a drawing of more pieces is not cut into them."""
CAPTION = 48
"""Points below a figure that are looked for its caption."""

_PDFIUM = Lock()
"""PDFium is for one thread at a time."""

Figure = tuple[tuple[int, int, int, int], str]
"""Left, top, right and bottom in pixels of the page's picture, and the caption."""


def pages(name: str, path: Path, origin: str, written: Path) -> Iterator[_entries.Entry]:
    """Yield the name of a PDF file with each of its samples: a page, followed by the figures on it.

    Args:
      name: its path as seen from the folder.
      path: where it is.
      origin: which folder it is in.
      written: the folder for pictures of pages; those that are there are not rendered again.

    Raises:
      DiskError: a picture cannot be written.
    """
    try:
        file = _File(name, path, origin, written)
    except SampleError as error:
        yield name, error
        return
    try:
        if not len(file):
            yield name, SampleError(f"{path}: has no pages; save it again")
        for number in range(1, len(file) + 1):
            try:
                samples = file.page(number)
            except DiskError:
                raise
            except Exception as error:  # a page that is damaged; PDFium and ctypes have many ways to say so
                reason = str(error) or type(error).__name__
                yield name, SampleError(f"{path}: page {number}: cannot be read ({reason}); save the file again")
                continue
            for entry in samples:
                yield name, _entries.find(entry, f"page {number}", path, written, _entries.plain_text)[1]
    finally:
        file.close()


class _File:
    """An open PDF file; arguments as of `pages`."""

    def __init__(self, name: str, path: Path, origin: str, written: Path) -> None:
        pdfium = _library(path)
        self._name, self._written = name, written
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SampleError(
                f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
            ) from error
        if not data:
            raise SampleError(f"{path}: is empty (0 bytes); copy or download it again")
        self._version = hashlib.sha256(data).hexdigest()[:32]
        self._origin = {"folder": origin, "version": self._version}
        try:
            with _PDFIUM:
                self._document = pdfium.PdfDocument(data)
                self._count = len(self._document)
        except pdfium.PdfiumError as error:
            remedy = "save it without one" if "assword" in str(error) else "copy or download it again"
            reason = "needs a password" if "assword" in str(error) else "is no PDF file, or damaged"
            raise SampleError(f"{path}: {reason}; {remedy}") from error

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Close the file."""
        with _PDFIUM:
            self._document.close()

    def page(self, number: int) -> list[dict[str, Any]]:
        """Return the entries of a page, counted from 1, and of the figures on it."""
        with _PDFIUM:
            page = self._document[number - 1]
            try:
                return self._entries(page, number)
            finally:
                page.close()

    def _entries(self, page: Any, number: int) -> list[dict[str, Any]]:
        width, height = page.get_size()
        scale = min(DPI / 72, LONGEST / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        textpage = page.get_textpage()
        try:
            text = _cleaned(textpage.get_text_range())
            figures = _figures(page, textpage, size)
        finally:
            textpage.close()
        files = [self._written / f"{self._version}-{number}{end}.jpg" for end in ("", *_endings(figures))]
        if not all(file.is_file() for file in files):
            self._render(page, scale, size, [box for box, _ in figures], files)
        title = f"{_walk.readable(self._name)}, page {number}"
        here = {"file": self._name, "page": number, "origin": self._origin}
        id = f"{_walk.id_of(self._name)}#page={number}"
        entries = [{"id": id, "image": str(files[0]), "text": text or title, **here}]
        for count, ((_, caption), file) in enumerate(zip(figures, files[1:], strict=True), 1):
            text = f"{title}, figure {count}" + (f": {caption}" if caption else "")
            entries.append({"id": f"{id}&figure={count}", "image": str(file), "text": text, **here, "figure": count})
        return entries

    def _render(self, page: Any, scale: float, size: tuple[int, int], boxes: list[Any], files: list[Path]) -> None:
        picture = page.render(scale=scale).to_pil().convert("RGB").resize(size)
        folder = self._written
        with durable.disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for box, file in zip((None, *boxes), files, strict=True):
            stream = io.BytesIO()
            (picture.crop(box) if box else picture).save(stream, "JPEG", quality=90)
            durable.write_file(file, stream.getvalue())


def _library(path: Path) -> Any:
    try:
        import pypdfium2
    except ImportError as error:
        raise SampleError(f"{path}: PDF files need pypdfium2; run `pip install 'camml[pdf]'`") from error
    return pypdfium2


def _figures(page: Any, textpage: Any, size: tuple[int, int]) -> list[Figure]:
    """Return the pictures on a page that are large enough to be figures, and smaller than the page."""
    import pypdfium2
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    to_bitmap = pypdfium2.PdfPosConv(page, (0, 0, *size, 0)).to_bitmap
    figures: dict[tuple[int, int, int, int], str] = {}
    for item in page.get_objects([FPDF_PAGEOBJ_IMAGE], max_depth=1):
        left, bottom, right, top = item.get_bounds()
        ends = [to_bitmap(left, bottom), to_bitmap(right, top)]
        (x, x2), (y, y2) = (
            [min(max(at, 0), most) for at in sorted(end[axis] for end in ends)] for axis, most in enumerate(size)
        )
        large = min(x2 - x, y2 - y) >= SMALLEST
        if large and (x2 - x) * (y2 - y) <= WHOLE_PAGE * size[0] * size[1]:
            upright = page.get_rotation() == 0
            caption = _caption(textpage, left, bottom, right) if upright else ""
            figures.setdefault((x, y, x2, y2), " ".join(_cleaned(caption).split()))
    return list(figures.items()) if len(figures) <= MOST_FIGURES else []


def _caption(textpage: Any, left: float, bottom: float, right: float) -> str:
    """Return the lines just below a figure, whole ones: a caption may be wider than its figure."""
    boxes = [textpage.get_rect(number) for number in range(textpage.count_rects())]
    below = [box for box in boxes if bottom - CAPTION <= box[1] and box[3] <= bottom + 1]
    chosen = [box for box in below if box[0] < right and box[2] > left]
    for box in chosen:  # which grows: what goes on beside a piece or below it is of the same caption
        chosen += [other for other in below if other not in chosen and _adjoins(box, other)]
    if not chosen:
        return ""
    lefts, bottoms, rights, tops = zip(*chosen, strict=True)
    text: str = textpage.get_text_bounded(min(lefts), min(bottoms), max(rights), max(tops))
    return text


def _adjoins(box: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether a piece of text stands beside another in its line, or in the next line."""
    height = box[3] - box[1]
    across, down = (max(box[end], other[end]) - min(box[end + 2], other[end + 2]) for end in (0, 1))
    return (down < 0 and across < height) or (across < 0 and down < height)


def _endings(figures: list[Figure]) -> list[str]:
    return [f"-figure-{count}" for count in range(1, len(figures) + 1)]


def _cleaned(text: str) -> str:
    """Return text as PDFium gives it without its signs for hyphens at line ends and other controls."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for sign in ("\x02\n", "\ufffe\n", "\x02", "\ufffe", "\0"):
        text = text.replace(sign, "")
    return text.encode("utf-8", "ignore").decode().strip()
