"""The main interface: a model with its encoder and settings, and the datastores that it answers from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from camml import answering, encoders, formats, weights
from camml.answering import DEFAULT_SHOTS, Answerer, Decoding, budget_of, with_passages
from camml.assistant.answer import Answer, Ready, check_options, query_of
from camml.assistant.collection import Collection
from camml.datastore import Datastore, official_pair, open_store, read_manifest
from camml.datastore.given import typed
from camml.datastore.table import refuse
from camml.encoders import Encoder
from camml.errors import EncoderMismatchError
from camml.evidence import usable
from camml.features.passages import PassageChooser
from camml.images import ImageSource
from camml.model.retrieval_settings import RetrievalSettings, settings_of
from camml.types import Context, Neighbor, Prediction, Query, Sample
from camml.weights import DEFAULT_MODEL

__all__ = ["Answer", "Assistant", "Collection", "Ready", "load"]


OF_THE_MACHINE = frozenset({"device", "dtype", "batch_size"})
"""Settings of encoders that are about where they run, so that a datastore fits a model whatever they are."""


class Assistant:
    """A model, with the encoder, the mode, the number of samples and the passages that belong to it.

    Model and encoder are loaded when they are first needed.

    Args:
      folder: of the model.
      use: how it uses samples, a file in `camml/answering`; None for what fits the model.
      options: what the model is loaded with, such as `device` and `dtype`.

    Example:
      >>> import camml
      >>> model = camml.load("models/camml-mini")
      >>> store = model.index("samples.csv", "store")
      >>> answer = store.ask("Which seal does the pump need?", image="pump.jpg")
      >>> answer.evidence[0].sample.id
      'pump-7'
    """

    def __init__(self, folder: Path, use: str | None = None, **options: Any) -> None:
        self.folder = folder
        self._use = use
        self.settings: RetrievalSettings = settings_of(folder)
        self.options = options

    @cached_property
    def use(self) -> str:
        """The way in which the model uses samples, a file in `camml/answering`.

        Raises:
          ModelFolderError: the folder holds no model.
        """
        return self._use or answering.fitting(self.folder)

    @property
    def shots(self) -> int:
        """The number of samples that suits the model."""
        return self.settings.shots or DEFAULT_SHOTS.get(self.use, 1)

    @cached_property
    def answerer(self) -> Answerer:
        """The loaded model."""
        return answering.load(self.use, self.folder, **self.options)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of samples and questions."""
        return encoders.load(self.settings.encoder, **self.settings.encoder_options)

    def index(
        self,
        samples: str | Path | Iterable[Sample],
        folder: str | Path,
        *,
        images: str | Path | None = None,
        on_bad: str = "stop",
        **options: Any,
    ) -> Collection:
        """Build a datastore that fits the model, and open it.

        Args:
          samples: a file or folder of samples in any format that `camml store build` takes, or samples.
          folder: of the new datastore.
          images: the folder at which image paths start; by default that of the file, or the one that `folder` is in.
          on_bad: "stop" at a sample that cannot be used, or "skip" it; the log says which.
          options: those of `Datastore.build`, such as `copy_images`.

        Raises:
          InputError: a sample cannot be used.
          OptionError: no such `on_bad`.
          StoreError: there is a datastore already.
        """
        leave_out = formats.on_bad_sample(on_bad)
        if isinstance(samples, str | Path):
            samples = formats.read(samples, images=images, on_bad=on_bad)
        made_with = dict(self.settings.encoder_options)
        Datastore.build(
            folder, samples, self.encoder, encoder_options=made_with, images=images, on_bad=leave_out, **options
        )
        return self.open(folder)

    def open(
        self,
        place: str | Path,
        *,
        encoder: str | None = None,
        encoder_options: Mapping[str, Any] | None = None,
        images: str | Path | None = None,
        **options: Any,
    ) -> Collection:
        """Open a datastore, with what the model makes of its samples where that is kept beside it.

        Args:
          place: its folder, or `INDEX_FILE:DATA_JSON` as published.
          encoder: search it with this encoder, whatever the model wants: the one it was built with.
          encoder_options: what that one is loaded with, where the datastore does not say.
          images: where its pictures are, if not where it says.
          options: those of `Collection`, such as `mode`.

        Raises:
          StoreNotFoundError: there is no datastore at `place`.
          EncoderMismatchError: it was built with another encoder than the model wants.
        """
        from camml.features.samples import folder_of

        if encoder is None and not encoder_options:
            self.check(place)
        if self.use == "perceiver" and "answerer" not in self.__dict__ and (cache := folder_of(str(place))):
            self.options.setdefault("cache", cache)
        if encoder is None and not encoder_options and self._wants(place):
            datastore = Datastore.open(place, self.encoder, images=None if str(images) == "none" else images)
            return Collection(self, datastore, self.encoder, **options)
        datastore, its_encoder = open_store(str(place), encoder, encoder_options or None, images)
        return Collection(self, datastore, its_encoder, **options)

    def check(self, place: str | Path) -> None:
        """Raise an EncoderMismatchError if a datastore was built with another encoder than the model says it wants."""
        if not self.settings.stated or self._wants(place, OF_THE_MACHINE):
            return
        name, made = ("imagebind", "as published") if official_pair(str(place)) else _made(Path(place))
        raise EncoderMismatchError(
            f"the datastore {place} was built with encoder {name!r} ({made}), and the model {self.folder.name} wants "
            f"{self.settings.encoder!r} ({_shown(self.settings.encoder_options)}): build it again with "
            f"`camml store build SOURCE --out DIR --model {self.folder.name}`, or search it as it is: --encoder {name}"
        )

    def _wants(self, place: str | Path, besides: frozenset[str] = frozenset()) -> bool:
        """Return whether a datastore has the encoder that the model's settings name, `besides` some of its settings."""
        if official_pair(str(place)):
            return False
        record = read_manifest(Path(place)).encoder
        wanted = self.settings
        theirs, ours = _comparable(record.options), _comparable(wanted.encoder_options)
        differing = {name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name)}
        return record.name == wanted.encoder and differing <= besides

    def ready(
        self,
        queries: Sequence[Query],
        contexts: Sequence[Context],
        chooser: PassageChooser | None = None,
        passages: str | None = None,
    ) -> list[Ready]:
        """Return questions with their samples as the model reads them: pictures that open, passages that fit.

        Args:
          chooser: of passages; None for one that is made when a text is too long.
          passages: see `camml.answering.budget_of`; None for the model's.

        Raises:
          OptionError: `passages` is invalid.
        """
        if not queries:
            return []
        wanted = passages or self.settings.passages
        looked = [usable(context, lambda reason: None) for context in contexts]
        budget = budget_of(self.answerer, wanted)
        if chooser is None and budget is not None and any(budget.exceeded(context) for context, _ in looked):
            chooser = PassageChooser(self.encoder)
        read = with_passages(self.answerer, chooser, queries, [context for context, _ in looked], wanted)
        return [Ready(query, context, notes) for query, context, (_, notes) in zip(queries, read, looked, strict=True)]

    def answer(self, ready: Sequence[Ready], decoding: Decoding | None = None) -> list[Answer]:
        """Return an answer to each question; those that are refused already are not put to the model.

        Raises:
          OptionError: a question is too long.
        """
        asked = [item for item in ready if not item.refusal]
        predictions: Iterator[Prediction] = iter(())
        if asked:  # else the model need not even be loaded
            queries, contexts = [item.query for item in asked], [item.context for item in asked]
            predictions = iter(self.answerer.answer(queries, contexts, decoding))
        return [Answer.refusal(item) if item.refusal else Answer.of(item, next(predictions)) for item in ready]

    def streamed(self, ready: Ready, text: str, decoding: Decoding | None = None) -> Answer:
        """Return the answer that was streamed, whole."""
        if ready.refusal:
            return Answer.refusal(ready)
        notes = self.answerer.notes(ready.query, ready.context, decoding)
        return Answer.of(ready, Prediction(text.strip(), ready.context, notes=notes))

    def stream(self, ready: Ready, decoding: Decoding | None = None) -> Iterator[str]:
        """Yield the answer to one question piece by piece; closing the iterator ends it.

        Raises:
          OptionError: the question is too long.
        """
        if ready.refusal:
            yield Answer.refusal(ready).text
            return
        yield from self.answerer.stream(ready.query, ready.context, decoding)

    def ask(
        self,
        question: str,
        image: ImageSource | None = None,
        samples: Sequence[Sample] = (),
        decoding: Decoding | None = None,
    ) -> Answer:
        """Return an answer from the samples given, in their order; without any, from what the model knows.

        Raises:
          OptionError: the question is no text, or too long, or `decoding` is of another type.
          SampleError: a part of a sample has another type than it must have.
        """
        check_options(decoding=decoding)
        query = query_of(question, image)
        context = tuple(Neighbor(sample, float("nan")) for sample in typed(samples, refuse))
        [answer] = self.answer(self.ready([query], [context]), decoding)
        return answer


def load(model: str | Path = DEFAULT_MODEL, use: str | None = None, **options: Any) -> Assistant:
    """Return a model with all that belongs to it.

    Args:
      model: a folder, a hub name, or the name of a model that comes with this package; see `camml.load_model`.
      use: how it uses samples; None for what fits.
      options: what it is loaded with, such as `device`, `dtype` and `prompt_style`.

    Raises:
      UnknownNameError, ModelFolderError: there is no such model.

    Example:
      >>> model = load("models/camml-mini")
      >>> answer = model.ask("What is shown?", image="photo.jpg")
      >>> answer.evidence
      ()
    """
    return Assistant(weights.folder(str(model)), use, **options)


def _made(folder: Path) -> tuple[str, str]:
    """Return the encoder that a datastore was built with, and its settings in words."""
    record = read_manifest(folder).encoder
    return record.name, _shown(record.options)


def _comparable(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings of an encoder with the names of files for their paths, as several paths may lead to one."""
    return {
        name: Path(value).name if isinstance(value, str) and "/" in value else value
        for name, value in (options or {}).items()
    }


def _shown(options: Mapping[str, Any] | None) -> str:
    return " ".join(f"{name}={value}" for name, value in (options or {}).items()) or "as it comes"
