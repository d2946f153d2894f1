"""Small copies of pictures."""

from pathlib import Path

from PIL import Image

from camml.evaluation.report.pictures import Pictures


def test_a_picture_is_copied_small_once_and_known_by_its_content(tmp_path: Path) -> None:
    Image.new("RGB", (600, 300), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    pictures = Pictures(tmp_path / "out", longest=100)
    name = pictures.copy(tmp_path / "a.png")
    assert name == pictures.copy(tmp_path / "b.png") == pictures.copy((tmp_path / "a.png").read_bytes())
    assert [file.name for file in (tmp_path / "out").iterdir()] == [name]
    with Image.open(tmp_path / "out" / str(name)) as copy:
        assert copy.size == (100, 50)
    assert pictures.lost == {}


def test_what_is_no_picture_is_lost_for_a_reason(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    pictures = Pictures(tmp_path / "out")
    assert pictures.copy(tmp_path / "text.png") is None
    assert pictures.copy(tmp_path / "gone.png") is None
    assert pictures.copy(tmp_path) is None
    assert pictures.copy(b"") is None
    assert pictures.lost[str(tmp_path / "gone.png")] == "No such file or directory"
    assert len(pictures.lost) == 4
