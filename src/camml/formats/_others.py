"""The files of a folder that are passed over, in words."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence

SHOWN = 3
"""Names that are shown of each kind."""
READ = "pictures (.jpg, .png, .webp, .heic, ...), PDF files, and beside a picture its text (.txt, .md or .json)"


def by_ending(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of files by their endings in small letters, the most frequent first.

    Example:
      >>> by_ending(["a.docx", "film.mp4", "b.DOCX"])
      {'.docx': ['a.docx', 'b.DOCX'], '.mp4': ['film.mp4']}
    """
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_ending(name), []).append(name)
    return dict(sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0])))


def in_words(names: Iterable[str]) -> str:
    """Return how many files there are, and of each ending, with the first few names.

    Example:
      >>> in_words(["a.docx", "film.mp4", "b.DOCX"])
      '3 files: 2 .docx (a.docx, b.DOCX), 1 .mp4 (film.mp4)'
    """
    tally = Tally()
    for name in names:
        tally.add(name)
    return str(tally)


class Tally:
    """Files counted by their endings, of which only the first names are remembered, however many there are."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._first: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __str__(self) -> str:
        count = self._counts.total()
        kinds = sorted(self._counts.items(), key=lambda kind: (-kind[1], kind[0]))
        return f"{count} file{'s' * (count != 1)}: " + ", ".join(
            f"{many} {ending or 'without an ending'} ({', '.join(self._first[ending])}{', ...' * (many > SHOWN)})"
            for ending, many in kinds
        )

    def add(self, name: str) -> None:
        """Count a file."""
        ending = _ending(name)
        self._counts[ending] += 1
        if len(names := self._first.setdefault(ending, [])) < SHOWN:
            names.append(name)


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()
