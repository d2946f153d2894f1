"""The adapter for lmms-eval, against that package where it is installed, else against a stand-in of its interface."""

import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

from camml.errors import OptionError


@pytest.fixture
def interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """`lmms_eval`, or of it what the adapter builds on: the base class with its documents, and the manifest."""
    try:
        import_module("lmms_eval.api.model")
    except ImportError:

        class lmms:
            def __init__(self) -> None:
                self._rank, self._world_size, self.task_dict = 0, 1, {}

        modules = {
            "lmms_eval": {}, "lmms_eval.api": {}, "lmms_eval.api.model": {"lmms": lmms}, "lmms_eval.models": {},
            "lmms_eval.models.registry_v2": {"ModelManifest": lambda **fields: SimpleNamespace(**fields)},
        }  # fmt: skip
        for name, members in modules.items():
            module = ModuleType(name)
            vars(module).update(members)
            monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "camml.evaluation.lmms_eval_model", raising=False)


@pytest.fixture
def documents() -> dict:
    picture = Image.new("RGB", (30, 30), "red")
    return {
        "task": {"test": [{"images": [picture]}, {"images": []}, {"images": [[picture]]}, {"images": [picture] * 2}]}
    }


def ask(number: int, **options: object) -> SimpleNamespace:
    """A request as lmms-eval makes it."""
    usual = {"max_new_tokens": 4, "until": ["\n\n"], "do_sample": False, "temperature": 0}
    text = f"<image>What is it, {number}?"
    return SimpleNamespace(args=(text, usual | options, lambda doc: doc["images"], number, "task", "test"))


@pytest.fixture
def model(interface, camml_folder, store_folder, documents):
    from camml.evaluation.lmms_eval_model import CamMLModel

    made = CamMLModel(str(camml_folder), store=str(store_folder), shots=2, device="cpu", batch_size=2)
    made.task_dict = documents
    return made


def test_requests_are_answered_in_their_order(model) -> None:
    requests = [ask(0), ask(1, max_new_tokens=6), ask(2)]
    together = model.generate_until(requests)
    assert together == [model.generate_until([request])[0] for request in requests]
    assert all(isinstance(text, str) for text in together)


def test_an_answer_ends_where_the_task_says(model) -> None:
    [whole] = model.generate_until([ask(0)])
    [cut] = model.generate_until([ask(0, until=whole[1])])
    assert cut == whole[0].strip()


def test_samples_are_retrieved(model) -> None:
    [with_samples] = model.generate_until([ask(0)])
    model.retriever = None
    assert model.generate_until([ask(0)]) != [with_samples]


class Spy:
    """Retrieves nothing and remembers what it is asked."""

    def __init__(self) -> None:
        self.asked: list = []

    def retrieve(self, queries, k):
        self.asked += queries
        return [()] * len(queries)


def test_questions_have_ids_so_that_their_own_samples_and_likenesses_are_not_found(model, documents) -> None:
    documents["task"]["test"][0]["question_id"] = 17
    model.retriever = Spy()
    model.generate_until([ask(0), ask(1)])
    assert [query.id for query in model.retriever.asked] == ["17", "task/test/1"]


def test_it_retrieves_as_the_command_does(interface, camml_folder, store_folder, documents) -> None:
    from camml.datastore import open_store
    from camml.evaluation.lmms_eval_model import CamMLModel
    from camml.evaluation.retrieval import retriever_of

    plain = retriever_of(*open_store(str(store_folder)))
    made = CamMLModel(str(camml_folder), store=str(store_folder), shots=2, device="cpu")
    assert (made.retriever.mode, made.retriever.duplicate_above) == (plain.mode, plain.duplicate_above)
    assert plain.duplicate_above == "measured"
    keeping = CamMLModel(str(camml_folder), store=str(store_folder), shots=2, device="cpu", keep_duplicates=True)
    assert keeping.retriever.duplicate_above is None
    keeping.task_dict, keeping.retriever = documents, Spy()
    keeping.generate_until([ask(0)])
    assert keeping.retriever.asked[0].id is None


def test_several_images_and_likelihoods_are_errors(model) -> None:
    with pytest.raises(OptionError, match=r"document 3: .* at most one image"):
        model.generate_until([ask(3)])
    with pytest.raises(OptionError, match="generate_until"):
        model.loglikelihood([])


def test_the_manifest_names_the_class(interface) -> None:
    from camml.evaluation.lmms_eval_plugin import manifest

    path, _, name = manifest().simple_class_path.rpartition(".")
    assert hasattr(__import__(path, fromlist=[name]), name)
    assert manifest().model_id == "camml"
