"""PDF files: pages and figures as samples, and what is wrong with files that cannot be read."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from camml import formats
from camml.errors import SampleError
from camml.formats import _pdf
from tests.pdf_files import write_pdf

pytest.importorskip("pypdfium2")


def message(path: Path) -> str:
    with pytest.raises(SampleError) as caught:
        list(formats.read(path))
    return str(caught.value)


def test_pages_have_picture_text_file_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pdf(tmp_path / "Pump 7.PDF", ["Replace the seal.", "Spare part 4711."])
    monkeypatch.chdir(tmp_path)
    first, second = formats.read("Pump 7.PDF")
    assert (first.id, first.text) == ("Pump 7.PDF#page=1", "Replace the seal.")
    assert (second.id, second.text) == ("Pump 7.PDF#page=2", "Spare part 4711.")
    assert (second.meta["file"], second.meta["page"]) == ("Pump 7.PDF", 2)
    assert second.image
    assert second.image.parent == tmp_path / "Pump 7.PDF-images"
    with Image.open(second.image) as image:
        assert image.size == (833, 1250)


def test_figures_are_samples_of_their_own(tmp_path: Path) -> None:
    page, figure = formats.read(write_pdf(tmp_path / "a.pdf", ["Text."], "red"), images=tmp_path / "pages")
    assert page.text.startswith("Text.")
    assert (figure.id, figure.text) == ("a.pdf#page=1&figure=1", "a, page 1, figure 1: Caption of a figure")
    assert (figure.meta["page"], figure.meta["figure"]) == (1, 1)
    assert figure.image
    assert figure.image.parent == tmp_path / "pages"
    with Image.open(figure.image) as image:
        colors = image.getextrema()
        assert abs(image.width - 200 * 150 / 72) < 3
        assert (colors[0][0] > 200, colors[1][1] < 60) == (True, True)  # type: ignore[index]


@pytest.mark.parametrize("start", [20, 60, 99, 180])
def test_a_caption_is_whole_where_it_is_wider_than_its_figure_and_ends_with_its_column(
    start: int, tmp_path: Path
) -> None:
    said, aside = "Figure 1: the compressor", f") Tj 0 -14 Td (seen from the left) Tj {340 - start} 14 Td (aside"
    file = write_pdf(tmp_path / "a.pdf", ["Text."], "red", caption=(start, said + aside))
    _, figure = formats.read(file, images=tmp_path / "pages")
    assert figure.text == f"a, page 1, figure 1: {said} seen from the left"


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_figures_on_turned_pages_are_cut_out_where_they_are_seen(rotate: int, tmp_path: Path) -> None:
    _, figure = formats.read(write_pdf(tmp_path / "a.pdf", ["Text."], "red", rotate))
    assert figure.image
    with Image.open(figure.image) as image:
        assert (image.width > image.height) == (rotate == 180)
        assert image.resize((1, 1)).getpixel((0, 0))[0] > 200  # type: ignore[index]


def test_a_scan_has_no_figure(tmp_path: Path) -> None:
    Image.new("RGB", (600, 800), "gray").save(tmp_path / "scan.pdf", resolution=100)
    assert [sample.text for sample in formats.read(tmp_path / "scan.pdf")] == ["scan, page 1"]


def test_pages_are_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["Text."], "red")
    before = list(formats.read(path))

    def fail(*arguments: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(_pdf._File, "_render", fail)
    assert list(formats.read(path)) == before
    monkeypatch.undo()
    write_pdf(path, ["Other text."], "red")
    assert next(iter(formats.read(path))).image != before[0].image


def test_huge_pages_become_pictures_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.pdf_files.WIDTH", 14_000)
    [page] = formats.read(write_pdf(tmp_path / "a.pdf", ["Text."]))
    assert page.image
    with Image.open(page.image) as image:
        assert max(image.size) == _pdf.LONGEST


@pytest.mark.parametrize("content", [b"", b"no PDF", b"%PDF-1.4\n%%EOF"])
def test_a_broken_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    assert str(path) in message(path)
    assert "copy or download it again" in message(path)
    write_pdf(path, ["Text."])
    path.write_bytes(path.read_bytes()[:100])
    assert str(path) in message(path)


def test_a_page_that_cannot_be_read_is_named_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["One.", "Two.", "Three."])
    read = _pdf._File.page

    def page(file: _pdf._File, number: int) -> object:
        if number == 2:
            raise RuntimeError("Failed to load page")
        return read(file, number)

    monkeypatch.setattr(_pdf._File, "page", page)
    assert "page 2: cannot be read (Failed to load page)" in message(path)
    assert [sample.text for sample in formats.read(path, on_bad="skip")] == ["One.", "Three."]


def test_without_the_library_the_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["Text."])
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    assert "run `pip install 'camml[pdf]'`" in message(path)
