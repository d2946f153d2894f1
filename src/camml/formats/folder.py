"""A folder of pictures and PDF files, with all that is below it: each picture is a sample, and each page.

The text of a picture is in a file of the same name beside it (`pump.txt`, `pump.md`; `pump.json` with `text` or
`caption`, whose other fields are kept), else in `metadata.csv`, `.jsonl` or `.parquet` of its folder or one above, as
in Hugging Face's imagefolder, else what XMP, IPTC or EXIF say, else its name. Ids are the paths as seen from the
folder, with ":" for slashes. The log names the files that are none of these.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from camml.errors import SampleError
from camml.formats import _entries, _metadata, _others, _pdf, _pictures, _shards, _walk, hf_dataset, parquet, webdataset
from camml.formats._walk import is_store as is_store
from camml.formats._walk import origin_of as origin_of

_logger = logging.getLogger("camml")


def matches(path: Path) -> bool:
    """Return whether it is a folder with a picture or a PDF file somewhere in it, and not the folder of a dataset."""
    if not path.is_dir() or any(other.matches(path) for other in (hf_dataset, parquet, webdataset)):
        return False
    return any(isinstance(file, Path) for _, file in _walk.files(path))


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each picture and page as a sample, its place the file as seen from the folder.

    Pictures of pages are written to `images`, or into a folder beside this one.
    """
    if not path.is_dir():
        raise SampleError(f"{path}: is not a folder; give a folder of pictures and PDF files")
    _walk.refuse_store(path)
    root, origin = path.absolute(), origin_of(path)
    metadata, beside = _metadata.Metadata(root), _pictures.Beside()
    empty, others = True, list[str]()
    for name, file in _walk.files(root, others.append):
        empty = False
        try:
            name.encode()
        except UnicodeEncodeError:
            yield name, SampleError(f"{path}: the name {name!r} is not Unicode; rename the file or its folder")
            continue
        if isinstance(file, SampleError):
            yield name, file
        elif name.lower().endswith(_walk.PDF):
            yield from _pdf.pages(name, file, origin, _shards.folder_written(path, images).absolute())
        else:
            row = metadata.of(name)
            yield from metadata.faults()
            yield (name, row) if isinstance(row, SampleError) else _pictures.sample(name, file, origin, row, beside)
    if empty:
        also = f" (but {_others.in_words(others)})" if others else ""
        raise SampleError(f"{path}: holds no pictures and no PDF files{also}; check the path")
    metadata.say_what_is_left()
    beside.say_what_is_left()
    if others := [name for name in others if name not in metadata.read]:
        _logger.warning("%s: passed over %s; what is read: %s", path, _others.in_words(others), _others.READ)


def passed_over(path: Path) -> dict[str, list[str]]:
    """Return the files of a folder that are not read, by their endings; none where it is not a folder of pictures."""
    others = list[str]()
    if not matches(path):
        return {}
    for _ in _walk.files(path, others.append):
        pass
    return _others.by_ending([name for name in others if not _metadata.names_files(path / name)])
