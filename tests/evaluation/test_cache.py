"""Answers that were given before."""

from pathlib import Path

from camml.evaluation.cache import Cache, Memory


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


def test_a_memory_knows_without_a_folder_and_keeps_in_one(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        memory = Memory(folder)
        assert memory.get("abc") is None
        memory.put("abc", {"a": 1})
        assert memory.get("abc") == {"a": 1}
    assert Memory(tmp_path).get("abc") == {"a": 1}
    assert Memory(None).get("abc") is None
