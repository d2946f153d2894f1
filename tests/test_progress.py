"""A bar appears where somebody watches, and says how far a command is."""

import sys

import pytest

from camml.progress import progress_bar


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("show", [True, False, None])
def test_a_bar_is_shown_to_those_who_watch_or_ask(
    show: bool | None, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with progress_bar("embedding", "samples", show=show) as progress:
        progress(2, 4)
    said = capsys.readouterr().err
    if terminal if show is None else show:
        assert "embedding" in said
        assert "2/4" in said
    else:
        assert said == ""
