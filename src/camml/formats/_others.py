"""The files of a folder that are passed over, in words."""

import os
from collections.abc import Sequence

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
        kinds.setdefault(os.path.splitext(name)[1].lower(), []).append(name)
    return dict(sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0])))


def in_words(names: Sequence[str]) -> str:
    """Return how many files there are, and of each ending, with the first few names.

    Example:
      >>> in_words(["a.docx", "film.mp4", "b.DOCX"])
      '3 files: 2 .docx (a.docx, b.DOCX), 1 .mp4 (film.mp4)'
    """
    return f"{len(names)} file{'s' * (len(names) != 1)}: " + ", ".join(
        f"{len(kind)} {ending or 'without an ending'} ({', '.join(kind[:SHOWN])}{', ...' * (len(kind) > SHOWN)})"
        for ending, kind in by_ending(names).items()
    )
