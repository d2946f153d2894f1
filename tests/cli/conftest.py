"""Every test of the command line runs in a working directory of its own, and gives paths as seen from there."""

import os
from collections.abc import Callable, Sequence

import pytest

from camml import cli

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def elsewhere(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run in a folder with an odd name, from which every path that the test gives is a relative one.

    A test whose subject is how paths are shown is marked `absolute_paths`; its paths stay as they are.
    """
    monkeypatch.chdir(tmp_path_factory.mktemp("an odd #1 place"))
    if "absolute_paths" in request.keywords:
        return
    root, parse = str(tmp_path_factory.getbasetemp()), cli.Parser.parse_args

    def parse_args(parser: cli.Parser, arguments: Sequence[str] | None = None) -> object:
        shorter = None if arguments is None else [text.replace(root, os.path.relpath(root)) for text in arguments]
        return parse(parser, shorter)

    monkeypatch.setattr(cli.Parser, "parse_args", parse_args)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run an action of `camml store`: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(["store", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run
