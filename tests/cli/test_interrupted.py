"""Ctrl-C while the command line itself is still being imported."""

import signal
import sys
from collections.abc import Iterator

import pytest

from camml import __main__, cli


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Have Ctrl-C raise, as in a terminal: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupting(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def test_it_is_one_line_while_verbs_are_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "build_parser", interrupting)
    assert (cli.main(["fetch", "--list"]), *capsys.readouterr()) == (130, "", "camml: interrupted\n")


def test_it_is_one_line_before_there_is_a_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupting:
        find_spec = staticmethod(interrupting)

    monkeypatch.delattr("camml.cli")
    monkeypatch.delitem(sys.modules, "camml.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupting()])
    assert (__main__.main(), *capsys.readouterr()) == (130, "", "camml: interrupted\n")
