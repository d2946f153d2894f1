"""GGUF files are read as the package of its makers reads them."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from camml.errors import FetchError
from camml.weights import _gguf

KINDS = {
    "F32": gguf.GGMLQuantizationType.F32,
    "F16": gguf.GGMLQuantizationType.F16,
    "Q4_1": gguf.GGMLQuantizationType.Q4_1,
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
}


def write(path: Path, kinds: dict[str, gguf.GGMLQuantizationType]) -> Path:
    """Write one tensor of each kind, and settings of each kind."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("a", 200)
    writer.add_int8("b", -3)
    writer.add_uint16("c", 60_000)
    writer.add_int16("d", -300)
    writer.add_int32("e", -70_000)
    writer.add_float32("f", 0.25)
    writer.add_bool("g", True)
    writer.add_uint64("h", 2**40)
    writer.add_int64("i", -(2**40))
    writer.add_float64("j", 1e-300)
    writer.add_string("k", "naïve 你好")
    writer.add_array("l", ["one", "", "Ġtwo"])
    writer.add_array("m", [3, 1, 2])
    random = np.random.default_rng(0)
    for name, kind in kinds.items():
        array = random.normal(size=(5, 64)).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_settings_and_tensors_are_those_of_the_official_reader(tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", KINDS)
    contents, reader = _gguf.read(path), gguf.GGUFReader(path)
    official = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert contents.settings == official
    assert list(contents.tensors) == list(KINDS)
    for tensor in reader.tensors:
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        array = contents.tensors[tensor.name]
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected, err_msg=tensor.name)


def test_a_kind_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", {"w": gguf.GGMLQuantizationType.Q5_0})
    with pytest.raises(FetchError, match=r"model\.gguf.*kind 6.*Q4_1"):
        _gguf.read(path)


@pytest.mark.parametrize(
    ("data", "said"), [(b"not this", "not a GGUF file"), (b"GGUF\x09\0\0\0" + bytes(16), "version 9")]
)
def test_another_file_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(FetchError, match=f"model.gguf.*{said}"):
        _gguf.read(path)
