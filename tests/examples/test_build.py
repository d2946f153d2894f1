"""The knowledge base is made once, whole, and the same each time."""

import json
from pathlib import Path

import build
import pytest
from PIL import Image

from camml import formats
from camml.errors import FetchError
from camml.factpix.catalog import SIDE

pytest.importorskip("resvg_py", reason="drawings are rendered with the extra `demo`")


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_samples_are_of_the_stored_styles_alone(registry: list[str], tmp_path: Path) -> None:
    known = build.build(tmp_path / "flags", progress=False)
    samples = list(formats.read(tmp_path / "flags" / "samples.json"))
    assert [country.code for country in known] == ["ba", "ga", "ra", "ya"]
    assert [sample.id for sample in samples] == [
        f"{style}-{code}"
        for code in ["ba", "ga", "ra", "ya"]
        for style in build.STORED
        if (style, code) != ("flagpack", "ya")
    ]
    assert all(sample.image is not None and sample.image.is_file() for sample in samples)
    assert {sample.meta["style"] for sample in samples} == set(build.STORED) == set(build.STYLES) - {build.ASKED}
    assert samples[0].meta["country"] == "Bluestan"


def test_pictures_show_the_drawing_at_its_size(registry: list[str], tmp_path: Path) -> None:
    build.build(tmp_path, progress=False)
    for style in build.STYLES:
        with Image.open(build.picture(tmp_path, style, "ra")) as image:
            assert image.size == (SIDE, SIDE * 3 // 4)
            assert image.convert("RGB").getpixel((100, 80)) == (0xE0, 0, 0)


def test_two_builds_are_equal(registry: list[str], tmp_path: Path) -> None:
    for name in ("one", "other"):
        build.build(tmp_path / name, progress=False)
    assert pictures(tmp_path / "one") == pictures(tmp_path / "other")
    assert (tmp_path / "one" / "samples.json").read_bytes() == (tmp_path / "other" / "samples.json").read_bytes()


def test_only_what_is_missing_is_drawn(registry: list[str], tmp_path: Path) -> None:
    build.build(tmp_path, progress=False)
    lost, kept = (build.picture(tmp_path, "cif", code) for code in ("ra", "ga"))
    before = kept.stat().st_mtime_ns
    lost.unlink()
    build.build(tmp_path, progress=False)
    assert lost.is_file()
    assert kept.stat().st_mtime_ns == before


def test_pictures_of_other_packages_are_drawn_anew(registry: list[str], tmp_path: Path) -> None:
    build.build(tmp_path, progress=False)
    (tmp_path / "packages.txt").write_text("other packages\n")
    stale = build.picture(tmp_path, "cif", "ra")
    stale.write_bytes(b"old")
    build.build(tmp_path, progress=False)
    assert stale.read_bytes() != b"old"


def test_nothing_is_taken_for_whole_after_a_failed_fetch(
    registry: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(style: str) -> None:
        raise FetchError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(build.Drawings, "fetch", fail)
        with pytest.raises(FetchError):
            build.build(tmp_path, progress=False)
    build.build(tmp_path, progress=False)
    assert len(pictures(tmp_path)) == 11


def test_a_style_need_not_have_all(registry: list[str]) -> None:
    assert build.Drawings.fetch("flagpack").png("ya") is None


def test_every_source_is_credited(registry: list[str], tmp_path: Path) -> None:
    build.build(tmp_path, progress=False)
    credits = (tmp_path / "ATTRIBUTION.md").read_text()
    readme = (Path(build.__file__).parent / "README.md").read_text()
    for source in (build.FACTS, *build.STYLES.values()):
        for text in (source.title, source.author, source.license, source.page, source.version):
            assert text in credits
            assert text in readme


def test_the_command_line_names_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(folder: Path) -> None:
        raise FetchError("the package registry cannot be reached")

    monkeypatch.setattr(build, "build", fail)
    monkeypatch.setattr("sys.argv", ["build.py", "--out", str(tmp_path)])
    assert build.main() == 2
    assert capsys.readouterr().err == "build: error: the package registry cannot be reached\n"


def test_pins_are_whole() -> None:
    for source in (build.FACTS, *build.STYLES.values()):
        assert len(bytes.fromhex(source.sha256)) == 32
    assert json.dumps(list(build.STYLES)) == '["cif", "flagpack", "flag"]'
