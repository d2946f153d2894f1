"""Arrays on disk: what comes back is what went in, or nothing, whatever happened to the files."""

import multiprocessing
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

from camml import arrays
from camml.arrays import JOURNAL, NUMBERS, ArrayCache
from camml.errors import DiskError


def array(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape or (5, 7)).astype(np.float16)


def fill(folder: Path, seeds: range) -> None:
    cache = ArrayCache(folder)
    for seed in seeds:
        cache.put(f"key-{seed}", array(seed))


class TestWhatComesBack:
    def test_is_what_went_in_now_and_in_a_later_process(self, tmp_path: Path) -> None:
        cache = ArrayCache(tmp_path / "cache")
        given = {"a": array(1), "b": array(2, 3), "empty": array(3, 0, 4), "c": array(4, 2, 3, 4)}
        for key, values in given.items():
            cache.put(key, values)
        for item in (cache, ArrayCache(tmp_path / "cache"), pickle.loads(pickle.dumps(cache))):
            assert len(item) == 4
            assert "a" in item
            assert "z" not in item
            assert item.get("z") is None
            for key, values in given.items():
                back = item.get(key)
                assert back.dtype == np.float16
                np.testing.assert_array_equal(back, values)

    def test_cannot_be_written_to(self, tmp_path: Path) -> None:
        cache = ArrayCache(tmp_path)
        cache.put("a", array(1))
        with pytest.raises(ValueError, match="read-only"):
            cache.get("a")[0] = 1

    def test_the_first_of_a_key_stays(self, tmp_path: Path) -> None:
        cache = ArrayCache(tmp_path)
        cache.put("a", array(1))
        before = cache.size()
        cache.put("a", array(1))
        assert cache.size() == before


class TestSeveralProcesses:
    @pytest.mark.long
    def test_write_at_once_and_find_what_the_others_wrote(self, tmp_path: Path) -> None:
        mine = ArrayCache(tmp_path)
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=fill, args=(tmp_path, range(n, n + 30))) for n in (0, 20)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
            assert worker.exitcode == 0
        assert len(mine) == 0
        mine.refresh()
        assert len(mine) == 50
        for seed in range(50):
            np.testing.assert_array_equal(mine.get(f"key-{seed}"), array(seed))

    def test_a_forked_child_does_not_write_to_the_shard_of_its_parent(self, tmp_path: Path) -> None:
        cache = ArrayCache(tmp_path)
        cache.put("parent", array(1))
        child = os.fork()
        if not child:
            try:
                cache.put("child", array(2))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        cache.put("later", array(3))
        fresh = ArrayCache(tmp_path)
        assert len(list(tmp_path.glob(f"*{NUMBERS}"))) == 2
        for key, seed in (("parent", 1), ("child", 2), ("later", 3)):
            np.testing.assert_array_equal(fresh.get(key), array(seed))


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        fill(tmp_path, range(4))
        return tmp_path

    def only(self, folder: Path, ending: str) -> Path:
        [file] = folder.glob(f"*{ending}")
        return file

    @pytest.mark.parametrize("lost", [1, 30, 69])
    def test_numbers_cut_short_lose_the_last_array_alone(self, folder: Path, lost: int) -> None:
        file = self.only(folder, NUMBERS)
        os.truncate(file, file.stat().st_size - lost)
        cache = ArrayCache(folder)
        assert cache.get("key-3") is None
        np.testing.assert_array_equal(cache.get("key-2"), array(2))

    def test_a_line_cut_short_loses_its_array_alone(self, folder: Path) -> None:
        for lost in (1, 10):  # the end of the line, and some of the line
            file = self.only(folder, JOURNAL)
            os.truncate(file, file.stat().st_size - lost)
            assert sorted(ArrayCache(folder)._entries) == ["key-0", "key-1", "key-2"]

    def test_a_flipped_bit_is_a_miss_and_can_be_put_again(self, folder: Path) -> None:
        with self.only(folder, NUMBERS).open("r+b") as file:
            file.seek(75)
            byte = file.read(1)
            file.seek(75)
            file.write(bytes([byte[0] ^ 4]))
        cache = ArrayCache(folder)
        assert cache.get("key-1") is None
        assert "key-1" not in cache
        cache.put("key-1", array(1))
        np.testing.assert_array_equal(cache.get("key-1"), array(1))
        np.testing.assert_array_equal(ArrayCache(folder).get("key-1"), array(1))

    @pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b"[1]\n", b'{"key": 1}\n', b"\xff\xfe\n"])
    def test_a_damaged_line_is_skipped(self, folder: Path, line: bytes) -> None:
        with self.only(folder, JOURNAL).open("ab") as file:
            file.write(line)
        assert len(ArrayCache(folder)) == 4

    def test_a_line_is_read_when_its_end_has_come(self, folder: Path) -> None:
        file = self.only(folder, JOURNAL)
        lines = file.read_bytes()
        file.write_bytes(lines[:-5])
        cache = ArrayCache(folder)
        assert "key-3" not in cache
        file.write_bytes(lines)
        cache.refresh()
        np.testing.assert_array_equal(cache.get("key-3"), array(3))

    def test_deleted_files_are_misses(self, folder: Path) -> None:
        cache = ArrayCache(folder)
        self.only(folder, NUMBERS).unlink()
        assert cache.get("key-0") is None
        cache.put("key-0", array(0))
        np.testing.assert_array_equal(cache.get("key-0"), array(0))

    def test_a_full_disk_is_said_and_nothing_else_is_lost(self, folder: Path, monkeypatch) -> None:
        cache = ArrayCache(folder)

        class Full:
            def tell(self) -> int:
                return 0

            def write(self, data: bytes) -> int:
                return len(data) // 2

            def close(self) -> None:
                pass

        cache._writer = (folder / f"x{NUMBERS}", Full(), Full())
        with pytest.raises(DiskError, match="free some space"):
            cache.put("new", array(9))
        assert cache.get("new") is None
        np.testing.assert_array_equal(cache.get("key-0"), array(0))


class TestTheBound:
    def test_the_shard_not_used_for_the_longest_time_goes_first(self, tmp_path: Path) -> None:
        each = array(0, 100, 10).nbytes
        cache = ArrayCache(tmp_path, max_bytes=each * 16)
        assert cache.shard_bytes == each * 2
        for seed in range(14):
            cache.put(f"key-{seed}", array(seed, 100, 10))
            time.sleep(0.01)
        assert len(cache) == 14
        later = ArrayCache(tmp_path, max_bytes=each * 16)
        assert later.get("key-0") is not None  # the oldest is used again
        for seed in range(14, 18):
            later.put(f"key-{seed}", array(seed, 100, 10))
            time.sleep(0.01)
        assert later.size() <= each * 16
        fresh = ArrayCache(tmp_path)
        assert {"key-0", "key-1", "key-17"} <= fresh._entries.keys()
        assert "key-2" not in fresh
        assert later.get("key-2") is None

    def test_counts_all_that_is_below_the_root(self, tmp_path: Path) -> None:
        fill(tmp_path / "old", range(20))
        bound = 20 * array(0).nbytes
        cache = ArrayCache(tmp_path / "new", tmp_path, max_bytes=bound)
        cache.put("a", array(1))
        assert not list((tmp_path / "old").glob("*.f16"))
        assert cache.size() <= bound

    def test_making_room_loses_nothing_that_other_threads_take_notice_of(self, tmp_path: Path) -> None:
        cache = ArrayCache(tmp_path, max_bytes=array(0).nbytes * 16)
        for seed in range(16):
            cache.put(f"key-{seed}", array(seed))
        last = cache._entries["key-15"]

        class Slow:
            """A shard: while it is compared, another thread adds an entry."""

            def __ne__(self, other: object) -> bool:
                cache._entries[f"new-{len(cache._entries)}"] = last
                return True

            def __eq__(self, other: object) -> bool:
                return not self != other

            __hash__ = None

        cache._entries["slow"] = last._replace(shard=Slow())
        cache.close()
        cache.put("key-16", array(16))
        assert "key-0" not in cache
        assert any(key.startswith("new") for key in cache._entries)
        np.testing.assert_array_equal(cache.get("key-16"), array(16))

    def test_an_array_larger_than_a_shard_is_not_kept(self, tmp_path: Path) -> None:
        cache = ArrayCache(tmp_path, max_bytes=800)
        cache.put("large", array(1, 100))
        cache.put("small", array(1, 10))
        assert "large" not in cache
        assert "small" in cache

    def test_shards_end_where_they_are_full(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr(arrays, "SHARD_BYTES", 150)
        fill(tmp_path, range(6))  # 70 bytes each
        assert [file.stat().st_size for file in sorted(tmp_path.glob("*.f16"))] == [140] * 3
        assert len(ArrayCache(tmp_path)) == 6
