"""The code that answers and retrieves, as a hash: an answer that other code gave is another answer."""

import hashlib
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import camml

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pillow", "faiss-cpu")
NON_ANSWERING_PACKAGES = ("cli", "distributed", "evaluation", "factpix", "ownpix", "reading", "serving", "training")
"""Packages that cannot change an answer once its prompt is known, except for the files of evaluation that follow."""
ANSWERING_FILES = ("contexts.py", "evidence.py", "models.py", "predict.py")
UNKNOWN = "unknown"
"""Stands for the code of answers that do not say it."""


def code_hash(root: Path) -> str:
    """Return the SHA-256 of all code below `root`, a folder like that of this package, that decides answers."""
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        answers = place.parts[0] == "evaluation" and path.name in ANSWERING_FILES
        if (place.parts[0] in NON_ANSWERING_PACKAGES and not answers) or path.name.startswith("."):
            continue
        whole.update(f"{place.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return whole.hexdigest()


@cache
def fingerprint() -> str:
    """Return the hash of this package's code; read once, as the code itself is."""
    return code_hash(Path(camml.__file__).parent)


def short() -> str:
    """Return the beginning of the fingerprint, as records and notes have it."""
    return fingerprint()[:12]


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of Python, of camml, and of the packages it computes with that are installed."""
    known = {"python": platform.python_version(), "camml": camml.__version__}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            known[package] = version(package)
    return known


def deciding() -> dict[str, Any]:
    """Return what belongs into the key of everything that is remembered."""
    return {"code": fingerprint(), "versions": versions()}


def mixture(records: Iterable[Mapping[str, Any]], answered: int | None) -> list[str]:
    """Return notes on a run whose answers were not all given now, by this code.

    Args:
      answered: how many were given for this run, the others being kept; None where nothing is to be said of that.
    """
    counts = Counter(str(record.get("code") or UNKNOWN) for record in records)
    total, notes = counts.total(), []
    if answered is not None and 0 < answered < total:
        notes.append(f"mixed: {total - answered} of {total} answers were kept from before, {answered} are new")
    if len(counts) > 1:
        counted = ", ".join(f"{number} by code {code}" for code, number in sorted(counts.items()))
        notes.append(f"mixed: the answers were given by different code ({counted}); a new --out has them all by one")
    elif counts and short() not in counts:
        notes.append(f"all answers were kept from code {next(iter(counts))}; the code now is {short()}")
    return notes
