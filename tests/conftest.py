"""Fixtures that several rooms share."""

import os
import socket
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run: a search for new ones is `pytest --hypothesis-profile default`. There is no limit of
# time, as that would depend on what else the machine does.
settings.register_profile(
    "fixed", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")

# Models here are tiny: threads that wait for each other cost far more than they save, above all on a busy machine.
# Set before torch is imported, and handed on to the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.family_table import (  # noqa: E402, F401
    pytest_addoption,
    pytest_configure,
    pytest_runtest_makereport,
    pytest_sessionfinish,
)
from tests.fork_server import LIBRARIES, TRANSFORMERS, ForkServer  # noqa: E402

# vLLM imports setuptools, which takes the place of distutils and refuses to where others have imported that before
with suppress(ImportError):
    import setuptools  # noqa: F401

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of `tests/golden` and what the official code computed with them."""
    folder = tmp_path_factory.mktemp("golden")
    for packed in sorted((ROOT / "tests" / "golden").glob("*.tar.xz")):
        with tarfile.open(packed) as archive:
            for entry in archive:
                target = folder / entry.name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(entry)
                assert content is not None, f"{packed.name} holds more than files: {entry.name}"
                target.write_bytes(content.read())
    return folder


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """The folder of all reference results, where it is at hand: `$CAMML_GOLDEN`, or `../shared/golden`."""
    folder = Path(os.environ.get("CAMML_GOLDEN", ROOT.parent / "shared" / "golden"))
    if not folder.is_dir():
        pytest.skip(f"no reference results at {folder}")
    return folder


@pytest.fixture(scope="session")
def golden_eval(shared_golden: Path) -> Path:
    """Published answers to public benchmarks and their official scores; their licences keep them out of this tree."""
    return shared_golden / "eval"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Starts programs, without the ten seconds in which torch and transformers are imported."""
    server = ForkServer(tmp_path_factory.mktemp("programs"), LIBRARIES + TRANSFORMERS)
    yield server
    server.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """An address at which nobody listens, nor can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[str]:
    """The address of an S3 server on this machine."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(_s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket, which this process and its children can read and write."""
    s3fs = pytest.importorskip("s3fs")
    for name, value in {
        "AWS_ENDPOINT_URL": _s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system, name = s3fs.S3FileSystem(), f"bucket-{uuid.uuid4().hex[:12]}"
    system.mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def camml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CaMML model with its processor."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("models") / "camml"
    model = tiny.model()
    model.save_pretrained(folder)
    tiny.processor(model.config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vlm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny vision-language model with its processor: one whose positions have three dimensions."""
    from tests import families

    folder = tmp_path_factory.mktemp("models") / "vlm"
    families.save("qwen2_5_vl", folder)
    return folder


@pytest.fixture(scope="session")
def camml_vlm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with perceivers added: a CaMML model."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("models") / "camml_vlm"
    model, processor = tiny.added("qwen2_5_vl")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny language model with its tokenizer."""
    import torch
    from transformers import LlamaForCausalLM

    from tests import tiny

    folder = tmp_path_factory.mktemp("models") / "llm"
    torch.manual_seed(3)
    model = LlamaForCausalLM(tiny.text_config())
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(8.0)
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder
