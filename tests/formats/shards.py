"""WebDataset and Parquet files of coloured pictures."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.colors import RGB


def png(color: str) -> bytes:
    """A picture of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), RGB[color]).save(stream, "PNG")
    return stream.getvalue()


def tar(path: Path, files: dict[str, bytes | str | dict[str, Any]], mode: str = "w") -> Path:
    """A tar file; text is UTF-8, a mapping JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            text = json.dumps(content) if isinstance(content, dict) else content
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def two_tars(folder: Path) -> list[Path]:
    """Four samples in two files, one of them without an image."""
    return [
        tar(
            folder / "part-000.tar",
            {
                "red.png": png("red"),
                "red.txt": "a red one",
                "blue.json": {"caption": "blue", "n": 1},
                "blue.png": png("blue"),
            },
        ),
        tar(
            folder / "part-001.tar",
            {"red2.txt": "red again", "red2.png": png("red"), "word.txt": "only a word", "word.cls": "7"},
        ),
    ]


APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \x00\x02\x00\xb0"


def beside(path: Path) -> Path:
    """What macOS writes beside a file on other disks."""
    hidden = path.with_name(f"._{path.name}")
    hidden.write_bytes(APPLE_DOUBLE)
    return hidden


def talk(answer: str) -> list[dict[str, str]]:
    """A conversation about a picture."""
    return [{"from": "human", "value": "<image>\nwhich colour?"}, {"from": "gpt", "value": answer}]


def table(path: Path, rows: list[dict[str, Any]], per_group: int = 2) -> Path:
    """A Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=per_group)
    return path
