"""PDF files written by hand: pages with a text, and a picture where one is wished for."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 400, 600


def write_pdf(
    path: Path,
    pages: Sequence[str],
    figure: str | None = None,
    rotate: int = 0,
    caption: tuple[int, str] = (100, "Caption of a figure"),
) -> Path:
    """Write a PDF file and return its path.

    Args:
      pages: the text of each page, at its top; none for "".
      figure: the color of a picture on each page, of 200 by 150 points, 100 above the bottom, with a caption.
      caption: how far from the left it begins, and its text.
      rotate: by how many degrees a viewer turns the pages.
    """
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    kids = []
    for text in pages:
        lines = [f"BT /F 14 Tf 40 {HEIGHT - 60} Td ({text}) Tj ET"] if text else []
        resources = "/Font << /F 3 0 R >>"
        if figure:
            lines.append(f"q 200 0 0 150 100 100 cm /I Do Q BT /F 10 Tf {caption[0]} 80 Td ({caption[1]}) Tj ET")
            data = Image.new("RGB", (20, 15), figure).tobytes()
            head = "<< /Type /XObject /Subtype /Image /Width 20 /Height 15 /ColorSpace /DeviceRGB /BitsPerComponent 8"
            objects.append(f"{head} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream")
            resources += f" /XObject << /I {len(objects)} 0 R >>"
        content = " ".join(lines).encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Rotate {rotate} "
            f"/Resources << {resources} >> /Contents {len(objects)} 0 R >>".encode()
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_file(objects))
    return path


def _file(objects: Sequence[bytes]) -> bytes:
    data, starts = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        starts.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    count = len(objects) + 1
    end = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(data))
    return data + b"xref\n0 %d\n0000000000 65535 f \n" % count + table + end
