"""An OpenAI-compatible server that continues or answers: vLLM, SGLang, llama.cpp, `transformers serve`."""

import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import APIConnectionError, APIStatusError, NotFoundError, OpenAI

from semcse.readers import DataError
from semcse.sentences import first_sentence
from semcse.writers.base import SAMPLED, Continuation, Decoding, ModelWriter, Request

KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "none"


class OpenAIWriter(ModelWriter):
    """Continuations by `/v1/completions`, or with `decoding.chat` answers by `/v1/chat/completions`.

    model: the name under which the server has it. base_url: such as "http://localhost:8000/v1".
    decoding: goes to the server with each request, and so does the request's seed, which the server may or may not
        heed: texts are stored as data and not expected to come again. `transformers serve` samples only where the
        model's own generation_config.json has do_sample, and with --continuous-batching by the settings of the first
        request that it got, without seeds.
    concurrency: papers asked for at the same time; the prompts of a paper follow each other, so that a server's prefix
        cache serves all but the first. All draws of a prompt are one request (`n`), which most servers compute with one
        prefill; a server that gives fewer is asked again for the others.
    retries, timeout: for each request; seconds. Retried with waits that grow to eight seconds: timeouts, refused
        connections, 429, 5xx. The default bridges about a minute, in which a server may start or come back.
    The key is read from the environment variable OPENAI_API_KEY and nowhere else; without it "none" is sent.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        decoding: Decoding = SAMPLED,
        concurrency: int = 16,
        retries: int = 10,
        timeout: float = 120.0,
    ) -> None:
        super().__init__(model, decoding)
        self.base_url = base_url
        self.concurrency = concurrency
        key = os.environ.get(KEY_VARIABLE) or NO_KEY
        self.client = OpenAI(base_url=base_url, api_key=key, max_retries=retries, timeout=timeout)

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        """One continuation for each request, in order.

        Raises DataError when the server does not know the model, refuses the request or cannot be reached.
        """
        papers = _grouped(range(len(requests)), lambda index: str(requests[index].paper.get("corpus_id")))
        answers: dict[int, Continuation] = {}
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                for found in pool.map(lambda indices: self._paper(requests, indices), papers):
                    answers.update(found)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [answers[index] for index in range(len(requests))]

    def _paper(self, requests: Sequence[Request], indices: Sequence[int]) -> dict[int, Continuation]:
        answers: dict[int, Continuation] = {}
        for left in _grouped(indices, lambda index: requests[index].text):
            while left:
                choices = self._ask(requests[left[0]].text, len(left), requests[left[0]].seed)
                answers.update(zip(left, choices, strict=False))
                left = left[len(choices) :]
        return answers

    def _ask(self, text: str, n: int, seed: int) -> list[Continuation]:
        options: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self.decoding.max_new_tokens,
            "temperature": self.decoding.temperature,
            "top_p": self.decoding.top_p,
            "seed": seed % 2**31,
        } | ({"n": n} if n > 1 else {})
        try:
            if self.decoding.chat:
                message: Any = [{"role": "user", "content": text}]
                response: Any = self.client.chat.completions.create(messages=message, **options)
                texts = [(choice.message.content, choice.finish_reason) for choice in response.choices]
            else:
                response = self.client.completions.create(prompt=text, **options)
                texts = [(choice.text, choice.finish_reason) for choice in response.choices]
        except (APIStatusError, APIConnectionError) as error:
            raise DataError(self._explain(error)) from None  # openai's error has the whole answer
        if not texts:
            raise DataError(
                f"{self.base_url}: asked for {n} continuations, got none. Is this an OpenAI-compatible server?"
            )
        tokens = getattr(response.usage, "completion_tokens", 0) or 0
        return [self._finish(str(text or ""), reason, tokens // len(texts)) for text, reason in texts]

    def _finish(self, text: str, reason: str | None, tokens: int) -> Continuation:
        sentence, complete = first_sentence(text)
        return Continuation(sentence, tokens, "sentence" if complete else "length" if reason == "length" else "stop")

    def _explain(self, error: APIStatusError | APIConnectionError) -> str:
        if isinstance(error, NotFoundError):
            return f"{self.base_url}: no model {self.model!r} there ({self._said(error)}). It has {self._models()}."
        if isinstance(error, APIStatusError):
            hint = f" Can it load {self.model!r}? It lists {self._models()}." if error.status_code >= 500 else ""
            return f"{self.base_url}: request refused with status {error.status_code} ({self._said(error)}).{hint}"
        return (
            f"{self.base_url}: no answer after {self.client.max_retries} retries ({error.message}). "
            "Is the server up? Start it and run again; the job continues."
        )

    def _said(self, error: APIStatusError) -> str:
        """The beginning of the server's answer, without the key that it may repeat."""
        key, answer = self.client.api_key, error.response.text
        return (answer if key == NO_KEY else answer.replace(key, "[key]"))[:200]

    def _models(self) -> str:
        try:
            return (
                ", ".join(sorted(model.id for model in self.client.with_options(max_retries=0).models.list())) or "none"
            )
        except (APIStatusError, APIConnectionError):
            return "a list that could not be had"


def _grouped(indices: Sequence[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """The indices with equal keys together, in order of appearance."""
    groups: dict[Hashable, list[int]] = {}
    for index in indices:
        groups.setdefault(key(index), []).append(index)
    return list(groups.values())
