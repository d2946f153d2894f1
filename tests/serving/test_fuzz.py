"""Whatever is sent, the server answers, and never with a mistake of its own."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

pytest.importorskip("schemathesis")

import schemathesis

from camml.serving import application
from camml.serving.engines import Engine
from tests.serving.conftest import MakeService


@pytest.mark.long
def test_no_mistakes_of_ours(make_service: MakeService) -> None:
    app = application.create(make_service(max_new_tokens=3))
    # without schemathesis' own plugin, which not every pytest can load
    operations = [
        operation.ok() for operation in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()
    ]
    assert len(operations) >= 13
    for operation in operations:
        try_out(operation)


def try_out(operation: Any) -> None:
    """Send what fits the description of an operation, and what does not quite."""

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=operation.as_strategy())
    def tried(case: Any) -> None:
        send(case)
        # most of what is made up names a model and a datastore that are not there: look behind that door too
        if isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = "hashed" if "input" in case.body else "tiny"
        if "store" in (case.path_parameters or {}):
            case.path_parameters["store"] = "colours"
        send(case)

    tried()


def send(case: Any) -> None:
    answer = case.call()
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_nothing_is_left_running(engine: Engine) -> None:
    assert engine.healthy()
