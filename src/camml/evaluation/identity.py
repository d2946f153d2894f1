"""The identity of a run: all that its answers depend on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from camml.evaluation.code import fingerprint, versions
from camml.evaluation.predict import Predictor
from camml.evaluation.task import Item
from camml.json_values import digest


def identity(
    name: str, items: Sequence[Item], predictor: Predictor, store_name: str | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all that the answers of a run depend on, as `run.json` records it.

    Args:
      name: of the task.
      store_name: the datastore's, as on the command line.
      settings: further ones, such as the batch size.
    """
    evidence, model = predictor.evidence, predictor.model
    store = None
    if evidence:
        record = evidence.datastore.manifest.encoder
        store = {
            "name": Path(store_name or "").name,
            "hash": evidence.hash,
            "generation": evidence.generation,
            "samples": len(evidence.datastore),
            "encoder": {"name": record.name, "revision": record.revision},
            "mode": evidence.retriever.mode,
            "retrieved": evidence.depth,
            "keep_duplicates": predictor.keep_duplicates,
            **evidence.opened,
        }
    return {
        "task": name,
        "context": predictor.variant.context,
        "shots": predictor.variant.shots,
        "questions": {"number": len(items), "hash": digest([[item.id, item.text] for item in items])},
        "model": model.identity if model else None,
        "decoding": asdict(predictor.decoding),
        **settings,
        "store": store,
        "versions": dict(versions()),
        "code": fingerprint(),
    }
