"""Answers with vLLM: pictures, samples and words become embeddings here, and a stock vLLM reads them and answers.

vLLM runs the bare language model in processes of its own, on one GPU, on several (`tensor_parallel_size`), or on many
machines through Ray (`distributed_executor_backend`). It never sees a picture or a sample.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import uuid4

from camml.answering import fitting
from camml.errors import CaMMLError, OptionError
from camml.serving.engines import Piece, Prepared, Request, _front
from camml.serving.engines._answer import Answer, AnswerText
from camml.serving.engines._formats import noted
from camml.serving.engines._front import FrontEngine, PromptEncoder
from camml.serving.engines._split import split

CPU_CACHE_BYTES = 2 * 2**30
"""For keys and values where there is no GPU; vLLM's own choice is most of the machine's memory."""

DRAIN_SECONDS = 30
"""How long vLLM's processes go on when a signal reaches them too, so that answers under way are finished."""

RESERVED_ARGUMENTS = ("model", "tokenizer", "enable_prompt_embeds", "skip_tokenizer_init")
"""What of vLLM's arguments is not to be chosen."""


class VllmEngine(FrontEngine):
    """An `Engine` on a vLLM; one thread makes embeddings, others open pictures and write prompts.

    Args:
      llm: vLLM's `AsyncLLM` with the language model that `front` embeds for.
    """

    def __init__(self, front: PromptEncoder, llm: Any) -> None:
        super().__init__(front)
        self.slots: int = llm.vllm_config.scheduler_config.max_num_seqs
        longest: int = llm.model_config.max_model_len
        front.limit = min(front.limit or longest, longest)
        self._llm = llm
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="camml-read")
        self._embedder = ThreadPoolExecutor(1, thread_name_prefix="camml-embed")
        self._waiting: dict[str, int] = {}  # answers of requests without a first token, by vLLM's name of the request
        self._running: dict[str, int] = {}
        self._closed = False
        self._counters = {"prompt_tokens_total": 0, "cancelled_total": 0}

    async def prepare(self, request: Request) -> Prepared:
        """See `Engine`."""
        if not 1 <= request.n <= self.slots:
            raise OptionError(f"n is {request.n}; this server gives 1 to {self.slots} answers to a question")
        if request.sampling.logprobs is not None:
            raise OptionError(
                "logprobs are not supported by the vllm engine; start the server with --engine transformers"
            )
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._front.prepare, request)

    async def generate(self, prepared: Prepared) -> AsyncIterator[Piece]:
        """See `Engine`."""
        request, front, name = prepared.request, self._front, uuid4().hex
        answers = [
            Answer(index, prepared.max_new_tokens, front.stop_ids, AnswerText(front.tokenizer, request.stop))
            for index in range(request.n)
        ]
        # the likeliest answers are all the same: one is asked for
        takers = [answers] if _greedy(prepared) else [[answer] for answer in answers]
        unfinished = set(answers)
        self._waiting[name] = request.n
        outputs = None
        try:
            inputs = await asyncio.get_running_loop().run_in_executor(self._embedder, self._inputs, prepared)
            self._check_open()
            outputs = self._llm.generate(inputs, self._sampling(prepared), name)
            async for output in outputs:
                self._running[name] = self._waiting.pop(name, request.n)
                for answer, token in _said(output, takers):
                    # vLLM goes on after a stop word of ours while others of the n answers are under way
                    if answer in unfinished and (piece := answer.take(token)) is not None:
                        if piece.finish_reason:
                            unfinished.discard(answer)
                        yield piece
                if not unfinished:
                    break
            if unfinished:  # aborted by other than who waits for it
                self._check_open()
                raise CaMMLError("vLLM broke off the answer")
        finally:
            self._waiting.pop(name, None)
            self._running.pop(name, None)
            self._counters["cancelled_total"] += bool(unfinished)
            if outputs is not None:
                await outputs.aclose()

    def _inputs(self, prepared: Prepared) -> Any:
        """Return what vLLM is given: tokens of a prompt of nothing but words, of any other embeddings float[T, D]."""
        from vllm.inputs.engine import embeds_input, tokens_input

        self._counters["prompt_tokens_total"] += prepared.prompt_tokens
        if self._front.use == "in_prompt":
            return tokens_input(prepared.inputs["input_ids"][0].tolist())
        return embeds_input(self._front.embed(prepared).to("cpu"))

    def _sampling(self, prepared: Prepared) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        decoding = prepared.request.decoding
        _, penalty = self._front.penalized(prepared)
        sampling = prepared.request.sampling
        return SamplingParams(
            n=1 if _greedy(prepared) else prepared.request.n,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            seed=decoding.seed,
            repetition_penalty=penalty if sampling.repetition_penalty is None else sampling.repetition_penalty,
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            structured_outputs=self._form(prepared.request),
            max_tokens=prepared.max_new_tokens,
            ignore_eos=True,  # what ends an answer is ours to say
            stop_token_ids=sorted(self._front.stop_ids),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )

    def _form(self, request: Request) -> Any:
        """Return what vLLM holds the answer to."""
        from vllm.sampling_params import StructuredOutputsParams

        if request.sampling.schema:
            return StructuredOutputsParams(json=noted(request.sampling.schema))
        grammar = self._front.grammar(request)  # tried here, since one that is wrong ends vLLM's process
        return None if grammar is None else StructuredOutputsParams(grammar=grammar)

    def status(self) -> Mapping[str, float]:
        """See `Engine`."""
        running, waiting = sum(self._running.values()), sum(self._waiting.values())
        return {"running": running, "waiting": waiting, **self._counters}

    def healthy(self) -> bool:
        """See `Engine`."""
        return not self._closed and not self._llm.errored

    async def close(self) -> None:
        """See `Engine`; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        for executor in (self._readers, self._embedder):
            executor.shutdown(wait=False)
        if not self._llm.errored:
            await self._llm.abort([*self._running, *self._waiting], internal=False)
        await asyncio.to_thread(self._llm.shutdown, DRAIN_SECONDS)
        self._llm = None  # its own clean-up fails at the end of the process, when parts of it are gone

    def _check_open(self) -> None:
        if self._closed:
            raise CaMMLError("the server is going down")


def _greedy(prepared: Prepared) -> bool:
    return prepared.request.decoding.temperature == 0


def _said(output: Any, takers: Sequence[Sequence[Answer]]) -> Iterator[tuple[Answer, int]]:
    """Yield the new tokens in one `RequestOutput`, and whose they are."""
    for completion in output.outputs:
        for answer in takers[completion.index]:
            for token in completion.token_ids:
                yield answer, token


def load(
    model: Path,
    use: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    prompt_style: str | None = None,
    **options: Any,
) -> VllmEngine:
    """Return the engine with the model in a folder; the first time its language model goes into the cache by itself.

    Args:
      use: `perceiver` (CaMML models) or `in_prompt` (any language model); None for what fits.
      device: where embeddings are made; vLLM chooses its own.
      options: any of vLLM's engine arguments, such as `tensor_parallel_size`, `pipeline_parallel_size`,
        `distributed_executor_backend`, `max_model_len`, `gpu_memory_utilization`, `max_num_seqs`.

    Raises:
      ModelFolderError, UnknownNameError: the model cannot be used.
      OptionError: vLLM is missing, has no such option, or does not start with these.
    """
    arguments = _engine_arguments(options)
    use = use or fitting(model)
    if use == "interleaved":
        raise OptionError(
            f"{model} is a vision-language model, which vLLM serves by itself (`vllm serve`); here use "
            "--engine transformers, or a CaMML model"
        )
    front_folder, language_folder = split(model)
    wording: dict[str, Any] = {"prompt_style": prompt_style} if prompt_style else {}
    front = _front.load(front_folder, use, device, dtype, **wording)
    chosen = {"dtype": str(front.language_model.dtype).removeprefix("torch."), **arguments}
    return VllmEngine(front, _start(language_folder, chosen))


def _engine_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` as vLLM's engine arguments, with defaults that suit a private server.

    Raises:
      OptionError: vLLM is missing, or has no such argument.
    """
    # vLLM reads these when it is imported, and its processes inherit them
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
    except ImportError as error:
        raise OptionError(
            f"the engine 'vllm' needs the package vllm ({error}); install it with `pip install 'camml[vllm]'`, "
            "or without a GPU with `make setup-vllm`"
        ) from None
    known = {field.name for field in fields(AsyncEngineArgs)}.difference(RESERVED_ARGUMENTS)
    if unknown := sorted(set(options) - known):
        raise OptionError(f"vLLM has no option {unknown[0]!r} to choose; its documentation lists its engine arguments")
    cpu = {"kv_cache_memory_bytes": CPU_CACHE_BYTES, "enforce_eager": True} if current_platform.is_cpu() else {}
    if "gpu_memory_utilization" in options:
        cpu.pop("kv_cache_memory_bytes", None)
    # llguidance, which alone knows the grammar of words of samples; of others vLLM would ask xgrammar first
    forms = {"structured_outputs_config": {"backend": "guidance"}}
    return {"disable_log_stats": True, "shutdown_timeout": DRAIN_SECONDS, **forms, **cpu, **options}


def _start(model: Path, arguments: Mapping[str, Any]) -> Any:
    """Return a running `AsyncLLM` with the language model in a folder.

    Raises:
      OptionError: it does not start.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    try:
        return AsyncLLM.from_engine_args(AsyncEngineArgs(model=str(model), enable_prompt_embeds=True, **arguments))
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise OptionError(f"vLLM does not start: {reason}; what it wrote above may say more") from error
