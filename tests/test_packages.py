"""Packages come from a registry on this machine: a folder of wheels for pip, a small web server for npm."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from errno import ENOSPC
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from camml import packages
from camml.errors import DiskError, FetchError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and a pip that asks nobody outside."""
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path / "home"


@pytest.fixture
def tiny_wheel(tmp_path: Path) -> str:
    """The SHA-256 of the wheel `tiny` 1.0 in the registry; it demands a Python that does not exist."""
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("tiny/weights.bin", b"123")
        metadata = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Python: >=99\n"
        bundle.writestr("tiny-1.0.dist-info/METADATA", metadata)
        bundle.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        bundle.writestr("tiny-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The SHA-256 of the npm package `@cam/tiny` 2.0.0, served from this machine."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        for name, text in {"package.json": '{"name": "@cam/tiny", "version": "2.0.0"}', "icons.json": "{}"}.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            bundle.addfile(entry, io.BytesIO(text.encode()))
    tarball = buffer.getvalue()

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            base = f"http://127.0.0.1:{self.server.server_address[1]}"
            version = {"name": "@cam/tiny", "version": "2.0.0", "dist": {"tarball": f"{base}/tiny.tgz"}}
            about = {"name": "@cam/tiny", "dist-tags": {"latest": "2.0.0"}, "versions": {"2.0.0": version}}
            known = self.path in ("/@cam%2ftiny", "/tiny.tgz")
            body = tarball if self.path == "/tiny.tgz" else json.dumps(about).encode()
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(body if known else b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    yield hashlib.sha256(tarball).hexdigest()
    server.shutdown()
    server.server_close()


def visible(folder: Path) -> list[str]:
    """What lies in a folder of the cache, lock files apart."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert packages.cache_dir() == tmp_path / "home"
    monkeypatch.delenv("CAMML_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert packages.cache_dir() == tmp_path / "xdg" / "camml"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert packages.cache_dir() == Path.home() / ".cache" / "camml"


class TestWheel:
    @pytest.mark.long
    def test_is_unpacked_and_then_kept(self, tiny_wheel: str, tmp_path: Path) -> None:
        folder = packages.wheel("tiny", "1.0", tiny_wheel)
        assert (folder / "tiny" / "weights.bin").read_bytes() == b"123"
        assert visible(folder) == ["tiny", "tiny-1.0.dist-info"]
        next(tmp_path.glob("*.whl")).unlink()
        assert packages.wheel("tiny", "1.0", tiny_wheel) == folder

    @pytest.mark.long
    def test_for_one_platform_the_demanded_python_counts(self, tiny_wheel: str) -> None:
        with pytest.raises(FetchError, match=r"tiny==1\.0"):
            packages.wheel("tiny", "1.0", tiny_wheel, platform_free=False)

    @pytest.mark.long
    def test_may_be_one_of_several_files(self, tiny_wheel: str) -> None:
        assert (packages.wheel("tiny", "1.0", ["0" * 64, tiny_wheel]) / "tiny").is_dir()

    @pytest.mark.long
    def test_with_another_checksum_is_refused(self, tiny_wheel: str, home: Path) -> None:
        with pytest.raises(FetchError, match="checksum"):
            packages.wheel("tiny", "1.0", tiny_wheel[::-1])
        assert visible(home / "wheels") == []

    @pytest.mark.long
    def test_that_does_not_exist_is_an_error(self, home: Path) -> None:
        with pytest.raises(FetchError, match=r"nothing==3\.1 could not be fetched.*version"):
            packages.wheel("nothing", "3.1", "0" * 64)
        assert visible(home / "wheels") == []

    @pytest.mark.long
    def test_offline_says_so(self, monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"{silent}/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")
        with pytest.raises(FetchError, match="cannot be reached; check the network"):
            packages.wheel("nothing", "3.1", "0" * 64)

    def test_without_pip_says_how_to_get_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(packages, "find_spec", lambda _: None)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(FetchError, match="ensurepip"):
            packages.wheel("tiny", "1.0", "0" * 64)

    def test_on_a_full_disk_says_so(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        failing = [sys.executable, "-c", "import sys; sys.exit('OSError: [Errno 28] No space left on device')"]
        monkeypatch.setattr(packages, "_pip", lambda: failing)
        with pytest.raises(DiskError, match="CAMML_HOME"):
            packages.wheel("tiny", "1.0", "0" * 64)
        assert visible(home / "wheels") == []


class TestNpm:
    @pytest.mark.long
    def test_is_unpacked_and_then_kept(self, tiny_npm: str, monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
        folder = packages.npm("@cam/tiny", "2.0.0", tiny_npm)
        assert visible(folder) == ["icons.json", "package.json"]
        monkeypatch.setenv("npm_config_registry", silent)
        assert packages.npm("@cam/tiny", "2.0.0", tiny_npm) == folder

    def test_with_another_checksum_is_refused(self, tiny_npm: str, home: Path) -> None:
        with pytest.raises(FetchError, match=f"SHA-256 {tiny_npm}, not"):
            packages.npm("@cam/tiny", "2.0.0", "0" * 64)
        assert visible(home / "npm") == []

    def test_of_another_version_says_so(self, tiny_npm: str) -> None:
        with pytest.raises(FetchError, match="No matching version found"):
            packages.npm("@cam/tiny", "3.0.0", tiny_npm)

    @pytest.mark.long
    def test_offline_says_so(self, tiny_npm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: str) -> None:
        monkeypatch.setenv("npm_config_registry", silent)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "empty"))
        with pytest.raises(FetchError, match="cannot be reached"):
            packages.npm("@cam/tiny", "2.0.0", tiny_npm)

    def test_without_npm_says_so(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(FetchError, match="install Node"):
            packages.npm("tiny", "1.0.0", "0" * 64)


FILL_SLOWLY = """
import sys, time
from pathlib import Path
from camml import packages
with packages.writing(Path(sys.argv[1])) as folder:
    if folder is not None:
        time.sleep(0.5)
        (folder / "whole").write_text("yes")
        print("filled")
"""


class TestWriting:
    @pytest.mark.long
    def test_of_several_processes_one_fills(self, tmp_path: Path) -> None:
        target = tmp_path / "weights" / "it"
        command = [sys.executable, "-c", FILL_SLOWLY, str(target)]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        said = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0]
        assert sorted(said) == ["", "", "filled\n"]
        assert (target / "whole").read_text() == "yes"

    def test_that_fails_leaves_nothing_and_the_next_one_succeeds(self, tmp_path: Path) -> None:
        target = tmp_path / "it"

        def break_off() -> None:
            with packages.writing(target) as folder:
                assert folder is not None
                (folder / "half").write_text("no")
                raise FetchError("broke off")

        with pytest.raises(FetchError, match="broke off"):
            break_off()
        assert visible(tmp_path) == []
        with packages.writing(target) as folder:
            assert folder is not None
            assert list(folder.iterdir()) == []
        assert visible(tmp_path) == ["it"]

    def test_what_a_killed_process_left_is_cleared(self, tmp_path: Path) -> None:
        left = tmp_path / ".it.partial"
        left.mkdir()
        (left / "half").write_text("no")
        with packages.writing(tmp_path / "it"):
            pass
        assert visible(tmp_path) == ["it"]
        assert list((tmp_path / "it").iterdir()) == []

    def test_a_full_disk_is_told_with_a_remedy(self, tmp_path: Path) -> None:
        with pytest.raises(DiskError, match="free some space"), packages.writing(tmp_path / "it"):
            raise OSError(ENOSPC, "No space left on device")

    def test_a_file_where_the_cache_should_be_is_told_with_a_remedy(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(DiskError, match="CAMML_HOME"), packages.writing(tmp_path / "file" / "weights" / "it"):
            pass

    def test_another_error_passes_as_it_is(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError), packages.writing(tmp_path / "it"):
            (tmp_path / "missing").read_text()

    def test_links_are_kept_and_what_they_point_to_is_not_touched(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside.txt"
        outside.write_text("theirs")
        outside.chmod(0o600)
        with packages.writing(tmp_path / "filled") as folder:
            assert folder is not None
            (folder / "astray").symlink_to("/no/such/file")
            (folder / "out").symlink_to(outside)
        assert (tmp_path / "filled" / "astray").is_symlink()
        assert outside.stat().st_mode & 0o777 == 0o600


class TestDebian:
    def test_is_fetched_unpacked_and_kept(self, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        if shutil.which("dpkg-deb") is None:
            pytest.skip("dpkg-deb is not installed")
        content = tmp_path / "content"
        (content / "DEBIAN").mkdir(parents=True)
        (content / "DEBIAN" / "control").write_text(
            "Package: tiny\nVersion: 1:2-3\nArchitecture: all\nMaintainer: Nobody <n@example.org>\nDescription: tiny\n"
        )
        (content / "usr").mkdir()
        (content / "usr" / "word.txt").write_text("hello")
        archive = tmp_path / "tiny.deb"
        subprocess.run(["dpkg-deb", "--build", str(content), str(archive)], check=True, capture_output=True)
        programs = tmp_path / "programs"
        programs.mkdir()
        asked = tmp_path / "asked.txt"
        (programs / "apt-get").write_text(f'#!/bin/sh\necho "$@" > {asked}\ncp {archive} ./tiny_1%3a2-3_all.deb\n')
        (programs / "apt-get").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        folder = packages.debian("tiny", "1:2-3", digest)
        assert (folder / "usr" / "word.txt").read_text() == "hello"
        assert asked.read_text().split() == ["download", "--quiet", "tiny=1:2-3"]
        (programs / "apt-get").write_text("#!/bin/sh\nexit 1\n")
        assert packages.debian("tiny", "1:2-3", digest) == folder
        with pytest.raises(FetchError, match="tiny 9 could not be fetched"):
            packages.debian("tiny", "9", digest)

    def test_elsewhere_says_so(self, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(FetchError, match="is a Debian package; without apt-get"):
            packages.debian("tiny", "1", "0" * 64)
