"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest

# Models here are tiny: threads that wait for each other cost far more than they save, above all on a busy machine.
# Set before torch is imported, and handed on to the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference results, where it is at hand: `$CAMML_GOLDEN`, or `../shared/golden`."""
    folder = Path(os.environ.get("CAMML_GOLDEN", ROOT.parent / "shared" / "golden"))
    if not folder.is_dir():
        pytest.skip(f"no reference results at {folder}")
    return folder


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
