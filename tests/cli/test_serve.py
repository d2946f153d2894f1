"""The options of `camml serve`, without a server."""

from pathlib import Path

import pytest

from camml.cli import build_parser
from camml.cli.serve import read_settings
from camml.errors import OptionError
from camml.serving.settings import Settings


def settings(*arguments: str) -> Settings:
    return read_settings(build_parser().parse_args(["serve", *arguments]))


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("*", "*"), ("null", "null"), ("http://a.example/", "http://a.example"), ("HTTPS://A.Example", "https://a.example"),
        ("https://a.example:443", "https://a.example"), ("http://a.example:8080/", "http://a.example:8080"),
        ("http://[::1]:3000", "http://[::1]:3000"), ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("moz-extension://1-2-3", "moz-extension://1-2-3"), ("app://obsidian.md", "app://obsidian.md"),
        ("tauri://localhost", "tauri://localhost"),
    ],
)  # fmt: skip
def test_origins_are_those_that_browsers_send(given: str, origin: str) -> None:
    assert settings("--cors-origin", given).cors_origins == (origin,)


@pytest.mark.parametrize(
    "given", ["a.example", "http://", "http://a.example/path", "http://a b", "//a", "", "http://a@b", "http://*"]
)
def test_what_is_no_origin_is_refused(given: str) -> None:
    with pytest.raises(OptionError, match="is not the origin of a web page"):
        settings("--cors-origin", given)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "ascii"])
def test_keys_are_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes("first-secret\r\n# a note\r\n\r\nsecond-secret\r\n".encode(encoding))
    assert settings("--api-keys", str(tmp_path / "keys")).api_keys == ("first-secret", "second-secret")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be"])
def test_keys_in_another_encoding_are_refused_in_words(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes("abcdefghijkl\r\n".encode(encoding))
    with pytest.raises(OptionError, match=r"UTF-8|printable"):
        settings("--api-keys", str(tmp_path / "keys"))
