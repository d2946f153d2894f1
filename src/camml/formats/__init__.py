"""Files of samples, read one sample at a time. A file in this folder is a format: it defines `matches` and `read`."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

from camml import plugins
from camml.errors import InputError, OptionError, SampleError
from camml.formats import _names, _others, _walk
from camml.formats._entries import Entry, Noted
from camml.formats._shards import Source, is_pattern
from camml.formats.jsonl import entries as json_entries
from camml.remote import is_address
from camml.types import UNFIT_FOR_IDS, Sample, mended_id

__all__ = ["Format", "find_format", "json_entries", "on_bad_sample", "read", "source", "takes_many"]

Report = Callable[[SampleError], None]

_logger = logging.getLogger("camml")

_SHEET = "is a spreadsheet; save it as CSV (UTF-8), with the columns id, text and mostly image"
_ADVICE = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), _SHEET),
    ".txt": "its format cannot be told: it is neither a table with the columns id and text nor JSON; save it as CSV "
    "with the columns id, text and mostly image, a row for each text",
    ".zip": "is an archive; unpack it, and give the folder",
    **dict.fromkeys(
        _walk.PICTURES, "is one picture; give the folder that it is in, or a file of samples that names it"
    ),
}
"""Remedies for files that are read otherwise, by their endings."""
_ONE_FILE = "give one file (JSON lines are joined with `cat`)"
MEND, SKIP = "mend_ids=True, on the command line --mend-ids", 'on_bad="skip", --on-bad skip'


class Format(Protocol):
    """A way to write samples down.

    One with `MANY` takes addresses of object storage and patterns, as text, too; one with `PIPED` is read once from
    start to end, so that it may come out of a pipe.
    """

    def matches(self, path: Path) -> bool:
        """Return True if a file or folder looks like this format; at most one format says so."""
        ...

    def read(self, path: Path, images: Path | None) -> Iterator[Entry]:
        """Yield each sample with its place ("line 3"), or the error in its place; image paths start at `images`.

        Raises:
          SampleError: what makes the rest of the file unreadable.
        """
        ...


def read(
    path: str | Path,
    *,
    format: str | None = None,
    images: str | Path | None = None,
    on_bad: str = "stop",
    report: Report | None = None,
    mend_ids: bool | None = None,
) -> Iterator[Sample]:
    """Read the samples of a file or folder, with ids that occur once.

    Args:
      path: LLaVA JSON, datastore JSON, JSON lines, CSV or TSV, each also packed (.csv.gz); an Arrow file, or the folder
        of a Hugging Face dataset; Parquet or WebDataset tar files: one, a folder of them, or a pattern
        ("shards/{000..127}.tar"), here or on object storage
        ("s3://bucket/folder"); a folder of pictures and PDF files, or one PDF file.
      format: a file in this folder; by default found by looking.
      images: the folder at which image paths start; by default that of `path`. Where a dataset holds the images
        themselves, or a PDF file its pages, they are written here; by default into a folder beside the dataset, named
        `<dataset>-images`, or for a dataset on object storage into the cache.
      on_bad: "stop" at a sample that cannot be used, or "skip" it.
      report: called with the reason for each sample skipped; by default it goes to the log.
      mend_ids: turn slashes and what else ids must not hold into "_", and let the second sample of the id "a" be "a#2",
        instead of an error; by default where the format is LLaVA JSON, whose published files repeat ids. How many were
        is said in the log.
    Raises:
      OptionError: no such `on_bad`.
      UnknownNameError: no such `format`.
      SampleError: no such file, a datastore, another format, or (with "stop") a sample that cannot be used.

    Example:
      >>> [sample.id for sample in read("samples.csv")]
      ['pump-7', 'lamp-2']
    """
    _check(on_bad)
    given = source(path)
    if not is_address(given):
        _walk.refuse_store(Path(given))
    if images is not None and Path(images).exists() and not Path(images).is_dir():
        raise SampleError(f"{images}: is not a folder; give the folder at which image paths start")
    name = format or find_format(given)
    if isinstance(given, str) and not takes_many(name):
        remedy = _ONE_FILE if is_pattern(given) else "copy it, or write Parquet or tar files"
        raise SampleError(f"{given}: {name} is read from one file on a disk; {remedy}")
    if isinstance(given, Path) and not (given.is_file() or given.is_dir() or getattr(_find(name), "PIPED", False)):
        raise SampleError(f"{given}: {name} cannot be read from a pipe; write it to a file, and give that file")
    entries = _find(name).read(cast(Path, given), None if images is None else Path(images))
    mend = name == "llava_json" if mend_ids is None else mend_ids
    unique = _with_unique_ids(_said(entries, given), given, mend, mend_ids is None)
    return _usable(unique, (report or _log) if on_bad == "skip" else None)


def source(text: str | Path) -> Source:
    """Return what to read from: a path that exists, or else an address or a pattern.

    Raises:
      SampleError: it is none of these.

    Example:
      >>> source("s3://bucket/folder")
      's3://bucket/folder'
    """
    if isinstance(text, str) and is_address(text):
        return text
    path = Path(text)
    try:
        there = path.exists()
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    if not there and is_pattern(str(text)):
        return str(text)
    if not there:
        raise SampleError(f"{path}: no such file or folder; check the path")
    return path


def takes_many(name: str) -> bool:
    """Return True if the format called `name` takes addresses of object storage and patterns, too."""
    return _takes_many(_find(name))


def find_format(path: Source) -> str:
    """Return the name of the format that a file or folder looks like, or by its ending an address or pattern.

    Raises:
      SampleError: it looks like none of them.

    Example:
      >>> find_format(Path("samples.csv"))
      'csv_table'
    """
    known = {name: cast(Format, module) for name, module in plugins.working("formats")}
    for name, format in known.items():
        if (isinstance(path, Path) or _takes_many(format)) and format.matches(cast(Path, path)):
            return name
    if isinstance(path, str):
        many = ", ".join(name for name, format in known.items() if _takes_many(format))
        if is_pattern(path):
            raise SampleError(f"{path}: patterns are for Parquet and tar files (formats: {many}); else {_ONE_FILE}")
        raise SampleError(f"{path}: its format cannot be told by its ending; name one of these: {many}")
    if path.is_dir() and not any(path.iterdir()):
        raise SampleError(f"{path}: is an empty folder; check the path")
    if path.is_file() and (advice := _ADVICE.get(path.suffix.lower())):
        raise SampleError(f"{path}: {advice}")
    raise SampleError(
        f"{path}: its format cannot be told{_holding(path)}; name the file .json, .jsonl, .csv or .tsv, give "
        "the folder of a saved Hugging Face dataset or one with pictures or PDF files in it, or name the format: "
        f"{', '.join(known)}"
    )


def _holding(path: Path) -> str:
    """Return in words what a folder holds."""
    others = list[str]()
    if path.is_dir():
        for _ in _walk.files(path, others.append):  # no pictures: else it would be a folder of pictures
            pass
    return f" (it holds {_others.in_words(others)})" if others else ""


def on_bad_sample(on_bad: str) -> Callable[[Sample, InputError], None]:
    """Return what to do with a sample that is read but cannot be stored: "stop" there, or "skip" it and log why.

    Raises:
      OptionError: no such `on_bad`.

    Example:
      >>> on_bad_sample("skip")(Sample("pump-7", ""), SampleError("has no text"))
    """
    _check(on_bad)

    def stop_or_skip(sample: Sample, error: InputError) -> None:
        if on_bad == "stop":
            raise error
        _log(error)

    return stop_or_skip


def _check(on_bad: str) -> None:
    if on_bad not in ("stop", "skip"):
        raise OptionError(f"on_bad is {on_bad!r}; it can be: stop, skip")


def _find(name: str) -> Format:
    return cast(Format, plugins.find("formats", name))


def _takes_many(format: Format) -> bool:
    return bool(getattr(format, "MANY", False))


def _said(entries: Iterator[Entry], path: Source) -> Iterator[Entry]:
    """Yield the entries, and log what is to be said of them all.

    That is how many pictures were taken for others, how many marks of images left out, and where no sample has a
    picture, the column that may name them.
    """
    replaced = marked = 0
    picture = id = ""
    columns: dict[str, str] | None = {}
    for place, sample in entries:
        if columns is not None and isinstance(sample, Sample):
            columns = None if sample.image else columns or _columns_of_pictures(sample)
        if isinstance(sample, Noted):
            replaced, marked = replaced + bool(sample.named), marked + sample.marked
            picture = picture or (f"{sample.image} for {sample.named!r}" if sample.named else "")
            id = id or (sample.id if sample.marked else "")
            sample = sample.plain()
        yield place, sample
    if replaced:
        said = "pictures that are not there under the names given, for which others were taken"
        _logger.warning("%s: %s: %d, such as %s", path, said, replaced, picture)
    if marked:
        said = "samples have <image> in their text and no picture, such as"
        then = "the mark was left out; name the picture under image"
        _logger.warning("%s: %d %s %r; %s", path, marked, said, id, then)
    for column, name in (columns or {}).items():
        said = "no sample has a picture, and pictures seem to be named under"
        _logger.warning("%s: %s %r, such as %r; call that column image", path, said, column, name)


def _columns_of_pictures(sample: Sample) -> dict[str, str]:
    """Return the first column of a sample's other values that names a picture file, with the name."""
    return next(({key: value} for key, value in sample.meta.items() if _names.names_picture(value)), {})


def _with_unique_ids(
    entries: Iterator[Entry], path: Source, mend: bool, say: bool = False
) -> Iterator[Sample | SampleError]:
    """Yield the samples, an error in place of one whose id cannot stay; where `say`, log what was mended."""
    places: dict[str, str] = {}
    counts: dict[str, int] = {}
    mended: list[str] = []
    for place, sample in entries:
        if isinstance(sample, SampleError):
            yield sample
            continue
        id = mended_id(sample.id, places, counts) if mend else sample.id
        if id in places:
            yield SampleError(
                f"{path}: {place}: the id {id!r} is that of {places[id]} already; "
                f"make the ids unique, have them mended ({MEND}), or leave the sample out ({SKIP})"
            )
        elif unfit := UNFIT_FOR_IDS.search(id):
            yield SampleError(
                f"{path}: {place}: the id {id!r} has {_in_words(unfit[0])}; replace it, with '_' for instance, "
                f"or have ids mended ({MEND})"
            )
        else:
            places[id] = place
            if id != sample.id:
                mended.append(f"{sample.id!r} to {id!r}")
            yield sample if id == sample.id else replace(sample, id=id)
    if mended and say:
        _logger.warning("%s: %d ids that repeat or hold a slash were changed, such as %s", path, len(mended), mended[0])


def _in_words(sign: str) -> str:
    if sign in "/\\":
        return "a slash"
    if sign == "\0":
        return "a NUL character"
    return "an unpaired surrogate, not valid Unicode" if "\ud800" <= sign <= "\udfff" else "a control character"


def _usable(samples: Iterator[Sample | SampleError], report: Report | None) -> Iterator[Sample]:
    for sample in samples:
        if isinstance(sample, Sample):
            yield sample
        elif report is None:
            raise sample
        else:
            report(sample)


def _log(error: InputError) -> None:
    _logger.warning("skipped: %s", error)
