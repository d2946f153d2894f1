"""Addresses of object storage, and what is said when they cannot be used."""

from pathlib import Path

import pytest

from camml.errors import CaMMLError, DiskError, OptionError, SampleError
from camml.remote import file_system, is_address, storage_errors


@pytest.mark.parametrize("text", ["s3://bucket/folder", "memory://x", "https://host/x.tar"])
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["folder/file", "C:/file", "", None, Path("s3://bucket"), "index:file.json"])
def test_what_is_none(text: object) -> None:
    assert not is_address(text)


def test_a_file_system_and_the_name_in_it() -> None:
    system, path = file_system("memory://folder/file")
    system.pipe_file(path, b"x")
    assert system.cat_file("/folder/file") == b"x"


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(OptionError, match=r"nowhere://x.*check the address"):
        file_system("nowhere://x")


class OwnError(Exception):
    """What some package raises that knows nothing of OSError."""


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FileNotFoundError("x"), SampleError, "s3://a/b: there is no such object"),
        (PermissionError("Access\nDenied"), DiskError, "s3://a/b: Access Denied; check the address, the credentials"),
        (OwnError(), SampleError, "s3://a/b: OwnError; check"),
    ],
)
def test_errors_of_storage_are_one_line_of_ours(error: Exception, kind: type[CaMMLError], message: str) -> None:
    with pytest.raises(kind, match=message), storage_errors("s3://a/b", kind):
        raise error


def test_errors_of_ours_pass() -> None:
    with pytest.raises(OptionError, match="as it was"), storage_errors("s3://a/b", SampleError):
        raise OptionError("as it was")


def test_what_cannot_be_had_is_said(silent: str) -> None:
    for address in ("reference://x", f"{silent.replace('http', 'ftp')}/x"):
        with pytest.raises(OptionError, match=f"{address}: .*check the address"):
            file_system(address)
