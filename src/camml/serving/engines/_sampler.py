"""The choice of the next token of one answer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from camml.answering import Decoding
from camml.answering._grounding import GrammarState
from camml.serving.engines import LEAST_LOGPROB, Sampling, TokenLogprob


class Sampler:
    """The choice of the next token, by the settings and the randomness of one answer alone.

    Args:
      read: the tokens of the prompt that a repetition penalty counts.
      penalty: on tokens that were read or said; 1 for none.
      form: what the answer is to be like.
    """

    def __init__(
        self,
        decoding: Decoding,
        index: int,
        device: torch.device,
        read: Tensor,
        penalty: float,
        sampling: Sampling | None = None,
        form: GrammarState | None = None,
    ) -> None:
        self._generator = torch.Generator(device)
        if decoding.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed((decoding.seed + index) % 2**63)
        self._read = read
        self._sampling = sampling = sampling or Sampling()
        self._form = form
        penalty = penalty if sampling.repetition_penalty is None else sampling.repetition_penalty
        self._steps: list[Any] = [RepetitionPenaltyLogitsProcessor(penalty)] if penalty != 1 else []
        self._random = decoding.temperature > 0
        if self._random:
            self._steps.append(TemperatureLogitsWarper(decoding.temperature))
            if sampling.top_k:
                self._steps.append(TopKLogitsWarper(sampling.top_k))
            if decoding.top_p < 1:
                self._steps.append(TopPLogitsWarper(decoding.top_p))
            if sampling.min_p:
                self._steps.append(MinPLogitsWarper(sampling.min_p))

    @property
    def plain(self) -> bool:
        """It takes the likeliest token and nothing else, which a whole batch can do in one operation."""
        penalties = self._sampling.frequency_penalty or self._sampling.presence_penalty
        return not (self._steps or penalties or self._form or self._sampling.logprobs is not None)

    def choose(self, logits: Tensor, said: Sequence[int]) -> int:
        """Return the next token after `said`, from float[V]."""
        new = torch.tensor(list(said), dtype=torch.long, device=logits.device)
        ids = torch.cat([self._read, new])
        scores = logits[None].float()
        if len(new) and (self._sampling.frequency_penalty or self._sampling.presence_penalty):
            counts = torch.bincount(new, minlength=scores.shape[1])[: scores.shape[1]]
            scores = scores - self._sampling.frequency_penalty * counts
            scores = scores - self._sampling.presence_penalty * (counts > 0)
        if self._form is not None:
            scores = scores.masked_fill(~self._form.allowed(scores.shape[1], scores.device), -torch.inf)
        for step in self._steps:
            scores = step(ids[None], scores)
        if self._random:
            token = int(torch.multinomial(scores.softmax(-1)[0], 1, generator=self._generator))
        else:
            token = int(scores.argmax())
        if self._form is not None:
            self._form.take(token)
        return token

    def logprob(self, logits: Tensor, token: int, tokenizer: Any) -> TokenLogprob | None:
        """Return the log probability of a token that was chosen by float[V]; nothing where nobody asks for it."""
        if self._sampling.logprobs is None:
            return None
        shares = logits.float().log_softmax(-1)

        def told(number: int) -> tuple[str, float]:
            return str(tokenizer.decode([number])), max(LEAST_LOGPROB, float(shares[number]))

        top = shares.topk(min(self._sampling.logprobs, len(shares))).indices.tolist() if self._sampling.logprobs else []
        return TokenLogprob(*told(token), tuple(map(told, top)))


class Chosen(LogitsProcessor):
    """Leaves the token that a sampler chooses the only one, for a model that generates by itself.

    Attributes:
      logprobs: of the tokens that were chosen.
    """

    def __init__(self, sampler: Sampler, tokenizer: Any) -> None:
        self.logprobs: list[TokenLogprob | None] = []
        self._sampler = sampler
        self._tokenizer = tokenizer
        self._said: list[int] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        token = self._sampler.choose(scores[0], self._said)
        self.logprobs.append(self._sampler.logprob(scores[0], token, self._tokenizer))
        self._said.append(token)
        only = torch.full_like(scores, -torch.inf)
        only[0, token] = 0.0
        return only
