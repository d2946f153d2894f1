"""`camml ask`, from its arguments to its exit code, on tiny models and a real datastore."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from camml import answering, encoders
from camml.answering import Decoding
from camml.cli import main
from camml.datastore import Datastore
from camml.images.data_urls import data_url
from camml.types import Neighbor, Query
from tests import tiny
from tests.fork_server import ForkServer

RUN_CAMML = Path(__file__).parents[2] / "scripts" / "run_camml.py"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoders.load("hashed"))
    return tmp_path / "store"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    lines = [
        {"id": sample.id, "text": sample.text, "image": str(sample.image)} for sample in tiny.samples(tmp_path)[:2]
    ]
    file = tmp_path / "context.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture(params=["perceiver", "in_prompt"])
def model(request: pytest.FixtureRequest, camml_folder: Path, llm_folder: Path) -> str:
    return str({"perceiver": camml_folder, "in_prompt": llm_folder}[request.param])


SHORT = ["--max-new-tokens", "5"]


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert main(["ask", *map(str, arguments), *SHORT, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that says why; exit code 2."""
    assert main(["ask", *map(str, arguments)]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("camml: error: ")]
    return line


@pytest.mark.long
def test_a_stored_picture_that_is_gone_costs_no_answer(capsys, store, model, tmp_path) -> None:
    (tmp_path / "red.png").unlink()
    answer = ask(capsys, "red", "--store", store, "--model", model, "--mode", "text-text", "--shots", 3)
    [red] = [sample for sample in answer["context"] if sample["id"] == "red"]
    assert (red["text"], red["image"]) == ("a red square", None)
    assert "'red' is not there any more" in answer["notes"][0]
    assert main(["ask", "red", "--store", str(store), "--model", model, "--mode", "text-text", "--stream", *SHORT]) == 0
    assert "note: the picture of the sample 'red'" in capsys.readouterr().out


@pytest.mark.long
def test_the_answer_comes_with_its_evidence(capsys, store, model, tmp_path) -> None:
    image = tiny.image(tmp_path, "query", (200, 0, 10))
    answer = ask(capsys, "what", "--image", image, "--store", store, "--model", model, "--shots", 2)
    assert answer["context"][0]["id"] == "red"
    assert len(answer["context"]) == 2
    assert all(-1 <= sample["score"] <= 1.0001 for sample in answer["context"])
    assert set(answer["seconds"]) == {"retrieve", "load", "answer"}


@pytest.mark.long
def test_given_samples_keep_their_order(capsys, context, model) -> None:
    answer = ask(capsys, "what", "--context", context, "--model", model)
    assert [(sample["id"], sample["score"]) for sample in answer["context"]] == [("red", None), ("green", None)]
    assert answer["seconds"]["retrieve"] == 0 < answer["seconds"]["load"], "nothing is searched"


@pytest.mark.long
def test_a_stock_vision_language_model_reads_pictures_and_texts(capsys, context, vlm_folder, tmp_path) -> None:
    image = tiny.image(tmp_path, "query", (200, 0, 10))
    asked = ("what", "--image", image, "--context", context, "--model", vlm_folder)
    answer = ask(capsys, *asked)["answer"]
    assert answer == ask(capsys, *asked, "--use", "interleaved")["answer"] != ""
    samples = tuple(Neighbor(sample, 1.0) for sample in tiny.samples(tmp_path)[:2])
    python = answering.load("interleaved", vlm_folder)
    assert [p.text for p in python.answer([Query("what", image)], [samples], Decoding(5))] == [answer]


def test_without_samples_it_answers_and_says_so(capsys, model) -> None:
    assert main(["ask", "what", "--model", model, *SHORT]) == 0
    assert "no evidence" in capsys.readouterr().out


@pytest.mark.long
def test_a_stream_is_the_same_answer(capsys, store, model) -> None:
    arguments = ("what", "--store", store, "--model", model)
    whole = ask(capsys, *arguments)
    assert main(["ask", *map(str, arguments), *SHORT, "--json", "--stream"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "".join(line["piece"] for line in lines[:-1]).strip() == whole["answer"] == lines[-1]["answer"]


@pytest.mark.long
def test_the_old_name_and_flags_work(store, llm_folder, tmp_path, programs: ForkServer) -> None:
    image = tiny.image(tmp_path, "query", (200, 0, 10))
    command = [
        RUN_CAMML,
        "--query",
        "what",
        "--image-file",
        image,
        "--store",
        store,
        "--model-path",
        llm_folder,
        *SHORT,
    ]
    done = programs.run(*command)
    assert done.returncode == 0, done.stderr
    assert "evidence" in done.stdout


@pytest.mark.parametrize("shots", [0, -1])
def test_no_shots_or_fewer_are_refused(capsys, store, shots) -> None:
    assert "give 1 or more" in refused(capsys, "what", "--store", store, "--shots", shots)


def test_of_fewer_samples_than_are_wanted_all_are_used(capsys, store, context, camml_folder) -> None:
    assert len(ask(capsys, "what", "--store", store, "--shots", 99, "--model", camml_folder)["context"]) == 4
    assert len(ask(capsys, "what", "--context", context, "--shots", 99, "--model", camml_folder)["context"]) == 2


@pytest.mark.parametrize("option", ["--image", "--store", "--context", "--server"])
def test_an_empty_option_is_refused_at_every_door(capsys, option: str) -> None:
    for server in ([], ["--server", "http://127.0.0.1:9"][: 2 * (option != "--server")]):
        assert f"{option} is empty; give what it is to name" in refused(capsys, "what", *server, option, "")


def test_a_picture_may_come_inside_an_address_which_errors_do_not_repeat(capsys, camml_folder, tmp_path) -> None:
    url = data_url(tiny.image(tmp_path, "query", (1, 2, 3)))
    assert ask(capsys, "what", "--image", url, "--model", camml_folder)["image"] == url
    assert len(refused(capsys, "what", "--image", "data:text/html;base64," + "A" * 5000)) < 200


def test_an_empty_store_is_refused_with_the_remedy(capsys, tmp_path, model) -> None:
    Datastore.build(tmp_path / "empty", [], encoders.load("hashed"))
    assert "camml store add" in refused(capsys, "what", "--store", tmp_path / "empty", "--model", model)


def test_a_missing_store_is_named(capsys, tmp_path) -> None:
    assert "nowhere" in refused(capsys, "what", "--store", tmp_path / "nowhere")


def test_a_broken_image_is_named_before_anything_is_loaded(capsys, tmp_path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert "broken.png" in refused(capsys, "what", "--image", tmp_path / "broken.png", "--model", "nowhere/at/all")


def test_a_folder_that_is_no_model_is_named(capsys, tmp_path) -> None:
    assert "config.json" in refused(capsys, "what", "--model", tmp_path)


def test_an_empty_question_is_refused(capsys) -> None:
    assert "question is empty" in refused(capsys, "  ")


def test_a_question_that_is_not_utf_8_is_refused_before_anything_is_loaded(capsys) -> None:
    assert "the question is not UTF-8 text" in refused(capsys, "caf\udce9", "--model", "nowhere/at/all")


def test_a_question_longer_than_the_model_is_refused(capsys, model) -> None:
    assert "512" in refused(capsys, "what " * 700, "--model", model)


def test_samples_cut_to_fit_are_said(capsys, tmp_path, llm_folder) -> None:
    (tmp_path / "long.jsonl").write_text(json.dumps({"id": "long", "text": "white field " * 900}))
    answer = ask(capsys, "what", "--context", tmp_path / "long.jsonl", "--model", llm_folder)
    [note] = answer["notes"]
    assert note.startswith("sample long: text cut to ")


def test_a_stream_says_its_notes_too(capsys, tmp_path, llm_folder) -> None:
    (tmp_path / "long.jsonl").write_text(json.dumps({"id": "long", "text": "white field " * 900}))
    arguments = ["ask", "what", "--context", str(tmp_path / "long.jsonl"), "--model", str(llm_folder), "--stream"]
    assert main([*arguments, *SHORT]) == 0
    assert "note: sample long: text cut to " in capsys.readouterr().out


def test_a_model_that_sees_no_image_says_so(capsys, store, llm_folder, tmp_path) -> None:
    image = tiny.image(tmp_path, "query", (200, 0, 10))
    answer = ask(capsys, "what", "--image", image, "--store", store, "--model", llm_folder)
    assert answer["notes"] == ["the model reads texts only; it does not see the image"]


@pytest.mark.long
def test_without_shots_each_way_has_its_own_number(capsys, store, camml_folder, llm_folder) -> None:
    assert len(ask(capsys, "what", "--store", store, "--model", camml_folder)["context"]) == 3
    assert len(ask(capsys, "what", "--store", store, "--model", llm_folder)["context"]) == 1


def test_an_unknown_mode_is_named_with_the_choices(capsys, store, model) -> None:
    assert "fused" in refused(capsys, "what", "--store", store, "--mode", "sideways", "--model", model)


def test_texts_in_the_prompt_are_worded_as_said(capsys, store, llm_folder) -> None:
    plain, worded = (
        ask(capsys, "what", "--store", store, "--model", llm_folder, *style)["prompt_tokens"]
        for style in ((), ("--prompt-style", "document"))
    )
    assert worded > plain


def test_an_unknown_wording_is_named_with_the_choices(capsys, store, model) -> None:
    said = refused(capsys, "what", "--store", store, "--model", model, "--prompt-style", "rhymed")
    assert "'rhymed'" in said
    assert "; there are: " in said


def test_a_filter_that_lets_nothing_through_is_said_and_no_model_loaded(
    capsys, tmp_path, llm_folder, monkeypatch
) -> None:
    monkeypatch.delattr(answering, "load")
    (tmp_path / "s.csv").write_text("id,text,hall\na,one red square,A\n")
    assert main(["store", "build", str(tmp_path / "s.csv"), "--out", str(tmp_path / "s"), "--encoder", "hashed"]) == 0
    capsys.readouterr()
    asked = ["ask", "what", "--store", str(tmp_path / "s"), "--model", str(llm_folder), "--where", "hall=B", *SHORT]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert said.startswith("not in the samples\nrefused: there is no sample to answer from: `where` lets none through")
    assert "nearest samples" not in said


def test_a_model_behind_an_endpoint_is_asked_elsewhere(capsys) -> None:
    said = refused(capsys, "what", "--use", "api", "--model", "gpt-4o")
    assert "--base-url URL" in said
    assert "no folder" not in said


@pytest.mark.parametrize("use", ["telepathy", "grounding"])
def test_an_unknown_way_of_using_samples_is_named_with_those_of_this_verb(capsys, use: str) -> None:
    said = refused(capsys, "what", "--use", use, "--model", "gpt-4o")
    assert said.endswith(f"--use {use!r} is not a way of using samples; there are: in_prompt, interleaved, perceiver")


def test_store_and_context_together_are_refused(capsys, store, context) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["ask", "what", "--store", str(store), "--context", str(context)])
    assert stopped.value.code == 2


OF_STORE = [
    ("--where", "k=1"), ("--mode", "nonsense"), ("--weights", "rubbish"), ("--rerank", "x"), ("--encoder", "hashed"),
    ("--encoder-option", "dim=3"), ("--store-images", "none"), ("--min-score", "0"), ("--margin", "foo"),
    ("--fallback", "model"),
]  # fmt: skip


@pytest.mark.parametrize("option", OF_STORE, ids=lambda option: option[0])
def test_options_of_a_datastore_without_one_are_refused(capsys, context, option) -> None:
    (context.parent / "q.jsonl").write_text('{"question": "q"}')
    for asked in (["what"], ["--batch", context.parent / "q.jsonl"], ["what", "--context", context]):
        said = refused(capsys, *asked, *option, "--model", "nowhere/at/all")
        assert said.startswith(f"camml: error: {option[0]} is for --store")
        assert ("--context are read" in said) is ("--context" in asked)


@pytest.mark.parametrize("option", [("--shots", "3"), ("--passages", "off")])
def test_options_of_samples_without_any_are_refused(capsys, option) -> None:
    said = refused(capsys, "what", *option, "--where", "k=1", "--model", "nowhere/at/all")
    first = sorted(["--where", option[0]], key=["--where", "--shots", "--passages"].index)
    assert said.startswith(f"camml: error: {', '.join(first)} are for samples; name a datastore with --store")


def test_given_samples_are_as_many_as_are_wanted(capsys, context, llm_folder) -> None:
    asked = ("what", "--context", context, "--shots", 1, "--passages", "off", "--model", llm_folder)
    assert len(ask(capsys, *asked)["context"]) == 1


def test_what_is_wrong_at_first_sight_is_said_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "q"}\n')
    asked = [["--image", "none.png"], ["--context", "none.csv"], ["--model", "none"], ["--passages", "0"]]
    asked += [["--use", "telepathy"], ["--passages", "9-2"], ["--store", "none"]]
    commands = [["ask", "what", "--no-server", *options] for options in asked]
    commands += [
        ["ask", "--batch", "q.jsonl", "--model", "none"],
        ["chat", "--passages", "0"],
        ["chat", "--model", "none"],
        ["chat", "--store", "none"],
    ]
    code = (
        "import sys; from camml.cli import main; "
        f"print([main(words) for words in {commands!r}], 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{[2] * len(commands)} False False\n"
    assert done.stderr.count("camml: error: ") == done.stderr.count("\n") == len(commands)


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from camml.cli import build_parser; build_parser().format_help(); "
        "print(*sorted({'torch', 'transformers', 'faiss', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_store_that_does_not_fit_the_default_model_is_refused_with_the_remedy(capsys, store) -> None:
    said = refused(capsys, "what", "--store", store)
    assert "the model camml-mini wants 'mini' (heads=" in said
    assert "camml store build SOURCE --out DIR --model camml-mini" in said
    assert "--encoder hashed" in said


def test_the_encoder_that_it_was_built_with_searches_it_all_the_same(capsys, store, folder_that_wants) -> None:
    assert "--encoder hashed" in refused(capsys, "what", "--store", store, "--model", folder_that_wants)
    options = ("--encoder", "hashed", "--shots", 1)
    answer = ask(capsys, "a red square", "--store", store, "--model", folder_that_wants, *options)
    assert answer["context"][0]["id"] == "red"


def test_samples_far_behind_the_nearest_are_left_out_where_it_is_wanted(capsys, store, model, tmp_path) -> None:
    asked = ("what", "--image", store.parent / "red.png", "--store", store, "--model", model, "--mode", "image-image")
    assert len(ask(capsys, *asked, "--shots", 3, "--margin", "off")["context"]) == 3
    assert len(ask(capsys, *asked, "--shots", 3, "--margin", "0")["context"]) == 1
    for wrong, said in (("much", "should be a number such as 0.1, or off"), ("-1", "give 0 or more")):
        assert said in refused(capsys, *asked, f"--margin={wrong}")


def test_too_weak_evidence_is_refused_or_left_out(capsys, store, model) -> None:
    weak = ("zebra", "--store", store, "--model", model, "--min-score", 1)
    answer = ask(capsys, *weak)
    assert (answer["refused"], answer["answer"]) == (True, "not in the samples")
    assert answer["context"]
    answer = ask(capsys, *weak, "--fallback", "model")
    assert (answer["refused"], answer["context"]) == (False, [])
    assert main(["ask", *map(str, weak)]) == 0
    said = capsys.readouterr().out
    assert "refused: no sample is near enough" in said
    assert "nearest samples" in said


@pytest.mark.long
def test_what_each_sample_does_is_said(capsys, store, camml_folder) -> None:
    answer = ask(capsys, "what", "--store", store, "--model", camml_folder, "--shots", 2, "--attribute")
    assert [effect["id"] for effect in answer["attribution"]] == [sample["id"] for sample in answer["context"]]


@pytest.fixture
def folder_that_wants(camml_folder: Path, tmp_path: Path) -> Path:
    """A model whose folder says that it wants another encoder than the store's."""
    shutil.copytree(camml_folder, tmp_path / "wants")
    (tmp_path / "wants" / "retrieval.json").write_text('{"encoder": "hashed", "encoder_options": {"dim": 32}}')
    return tmp_path / "wants"
