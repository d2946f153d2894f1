"""Values of JSON: keys that repeat in an object, and checksums that do not depend on the order of keys."""

import hashlib
import json
from collections import Counter
from typing import Any


def most_repeated(pairs: list[tuple[str, Any]]) -> str:
    """Return the key that most of an object's pairs of key and value have."""
    return Counter(key for key, _ in pairs).most_common(1)[0][0]


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON from its keys and values, as the `object_pairs_hook` of `json.loads`.

    Raises:
      ValueError: a key is there twice: one program would read the first value, another the last.

    Example:
      >>> json.loads('{"a": 1, "a": 2}', object_pairs_hook=unique_keys)
      Traceback (most recent call last):
      ValueError: the key 'a' is there twice in an object; leave one out
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError(f"the key {most_repeated(pairs)[:40]!r} is there twice in an object; leave one out")
    return made


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
