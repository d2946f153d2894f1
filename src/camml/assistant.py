"""One door: a model with all that belongs to it, and the samples of people that it answers from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from camml import answering, encoders, formats, weights
from camml.answering import DEFAULT_SHOTS, Answerer, Decoding, with_passages
from camml.datastore import Datastore, read_manifest
from camml.encoders import Encoder
from camml.errors import EncoderMismatchError, OptionError
from camml.features.passages import PassageChooser
from camml.features.samples import FOLDER
from camml.images import ImageSource, open_image
from camml.model.retrieval_settings import RetrievalSettings, settings_of
from camml.retriever import Retriever
from camml.types import Context, Neighbor, Prediction, Query, Sample, Where


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and what it said it from.

    Attributes:
      text: the answer.
      evidence: the samples it was made from, nearest first, each with its score and the passages that were read.
      notes: what a person should know before trusting the answer.
      prompt_tokens, new_tokens: how much was read and said.

    Example:
      >>> Answer("Seal 4711", evidence=(), new_tokens=3).text
      'Seal 4711'
    """

    text: str
    evidence: Context
    notes: tuple[str, ...] = ()
    prompt_tokens: int = 0
    new_tokens: int = 0


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
        self.use = use or answering.fitting(folder)
        self.settings: RetrievalSettings = settings_of(folder)
        self._options = options

    @property
    def shots(self) -> int:
        """How many samples suit the model."""
        return self.settings.shots or DEFAULT_SHOTS.get(self.use, 1)

    @cached_property
    def answerer(self) -> Answerer:
        """The loaded model."""
        return answering.load(self.use, self.folder, **self._options)

    @cached_property
    def encoder(self) -> Encoder:
        """What embeds samples and questions."""
        return encoders.load(self.settings.encoder, **self.settings.encoder_options)

    def index(self, samples: str | Path | Iterable[Sample], folder: str | Path, **options: Any) -> "Collection":
        """Build a datastore that fits the model, and open it.

        Args:
          samples: a file of samples in any format that `camml store build` takes, or samples.
          folder: of the new datastore.
          options: those of `Datastore.build`, such as `copy_images`.

        Raises:
          InputError: a sample cannot be used.
          StoreError: there is a datastore already.
        """
        given = formats.read(samples) if isinstance(samples, str | Path) else samples
        Datastore.build(
            Path(folder), given, self.encoder, encoder_options=dict(self.settings.encoder_options), **options
        )
        return self.open(folder)

    def open(self, folder: str | Path) -> "Collection":
        """Open a datastore.

        Raises:
          StoreNotFoundError: there is none.
          EncoderMismatchError: it was built with another encoder than the model wants.
        """
        self.check(folder)
        return Collection(self, Datastore.open(folder, self.encoder))

    def check(self, folder: str | Path) -> None:
        """Raise an EncoderMismatchError if a datastore was built with another encoder than the model wants."""
        record, wanted = read_manifest(Path(folder)).encoder, self.settings
        if record.name != wanted.encoder or _names(record.options) != _names(wanted.encoder_options):
            raise EncoderMismatchError(
                f"the datastore {folder} was built with encoder {record.name!r} ({_shown(record.options)}), and the "
                f"model {self.folder.name} wants {wanted.encoder!r} ({_shown(wanted.encoder_options)}): build it again "
                f"with `camml store build SOURCE --out DIR --model {self.folder}`"
            )

    def ask(
        self,
        question: str,
        image: ImageSource | None = None,
        samples: Sequence[Sample] = (),
        decoding: Decoding | None = None,
    ) -> Answer:
        """Return an answer from the samples given, in their order; without any, from what the model knows."""
        query = Query(question, _opened(image))
        context = tuple(Neighbor(sample, float("nan")) for sample in samples)
        [prediction] = self.answerer.answer([query], [context], decoding)
        return _answer(prediction)


class Collection:
    """An opened datastore, and the model that answers from it.

    Args:
      assistant: the model.
      datastore: opened with the model's encoder.
      mode: of retrieval; None for the model's.

    Example:
      >>> import camml
      >>> store = camml.load("models/camml-mini").index("samples.csv", "store")
      >>> store.add([camml.Sample("fan-3", "The fan needs a belt.")])
      >>> store.search("a belt for the fan", k=1)[0].sample.id
      'fan-3'
    """

    def __init__(self, assistant: Assistant, datastore: Datastore, mode: str | None = None) -> None:
        self.assistant = assistant
        self.datastore = datastore
        self.retriever = Retriever(datastore, assistant.encoder, mode or assistant.settings.mode)
        kept = datastore.path / FOLDER if datastore.path is not None else None
        self.chooser = PassageChooser(assistant.encoder, kept if kept is not None and kept.is_dir() else None)

    def __len__(self) -> int:
        return len(self.datastore)

    def add(self, samples: str | Path | Iterable[Sample], **options: Any) -> None:
        """Add samples; the next question can find them, without any training.

        Raises:
          InputError: a sample cannot be used, or its id is taken.
        """
        self.datastore.add(formats.read(samples) if isinstance(samples, str | Path) else samples, **options)

    def search(
        self, question: str = "", image: ImageSource | None = None, k: int = 4, where: Where | None = None
    ) -> Context:
        """Return the nearest samples, nearest first."""
        [context] = self.retriever.retrieve([Query(question, _opened(image))], k, where)
        return context

    def ask(self, question: str, image: ImageSource | None = None, **options: Any) -> Answer:
        """Return an answer from the samples that are nearest; `options` are those of `ask_all`."""
        [answer] = self.ask_all([Query(question, _opened(image))], **options)
        return answer

    def ask_all(
        self,
        queries: Sequence[Query],
        *,
        shots: int | None = None,
        where: Where | None = None,
        passages: str | None = None,
        decoding: Decoding | None = None,
    ) -> list[Answer]:
        """Return an answer to each question.

        Args:
          shots: samples to answer from; None for the model's.
          where: which samples may be retrieved.
          passages: `auto`, `off` or a number of tokens; None for the model's.

        Raises:
          OptionError: a setting cannot be, or a question is too long.
          EmptyStoreError: there are no samples.
        """
        if shots is not None and shots < 1:
            raise OptionError(f"shots is {shots}; give 1 or more")
        assistant = self.assistant
        contexts = self.retriever.retrieve(queries, shots or assistant.shots, where)
        read = with_passages(
            assistant.answerer, self.chooser, queries, contexts, passages or assistant.settings.passages
        )
        return [_answer(prediction) for prediction in assistant.answerer.answer(queries, read, decoding)]


def load(model: str | Path, use: str | None = None, **options: Any) -> Assistant:
    """Return a model with all that belongs to it.

    Args:
      model: a folder or a hub name; see `camml.load_model`.
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


def _opened(image: ImageSource | None) -> Any:
    return None if image is None else image if isinstance(image, Path) else open_image(image)


def _answer(prediction: Prediction) -> Answer:
    return Answer(
        prediction.text, prediction.context, prediction.notes, prediction.prompt_tokens, prediction.new_tokens
    )


def _names(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings of an encoder, files by their names: a folder may be reached by several paths."""
    return {
        name: Path(value).name if isinstance(value, str) and "/" in value else value
        for name, value in (options or {}).items()
    }


def _shown(options: Mapping[str, Any] | None) -> str:
    return " ".join(f"{name}={value}" for name, value in (options or {}).items()) or "as it comes"
