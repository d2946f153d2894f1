"""Answers that were given before."""

from pathlib import Path

from camml.evaluation.cache import Cache


def test_what_is_put_is_got(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new")
    assert cache.get("abc") is None
    cache.put("abc", {"answer": "é\n"})
    assert Cache(tmp_path / "new").get("abc") == {"answer": "é\n"}
    assert cache.get("abd") is None


def test_what_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for broken in (b'{"a": ', b"[1]", b"\xff"):
        cache.put("abc", {})
        next(tmp_path.rglob("abc.json")).write_bytes(broken)
        assert cache.get("abc") is None


def test_without_a_folder_nothing_is_kept() -> None:
    Cache(None).put("abc", {"a": 1})
    assert Cache(None).get("abc") is None
