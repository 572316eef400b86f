"""An OpenAI-compatible server that continues or answers: vLLM, SGLang, llama.cpp, `transformers serve`."""

import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import APIConnectionError, APIStatusError, NotFoundError, OpenAI

from semcse.readers import DataError
from semcse.sentences import first_sentence
from semcse.writers.base import Continuation, Request, Writer

KEY_VARIABLE = "OPENAI_API_KEY"


class OpenAIWriter(Writer):
    """Continuations by `/v1/completions`, or with `chat` answers by `/v1/chat/completions`.

    model: the name under which the server has it. base_url: such as "http://localhost:8000/v1".
    temperature, top_p, max_new_tokens: as in TransformersWriter. The seed of a request goes to the server, which may
        or may not heed it: texts are stored as data and not expected to come again.
    concurrency: papers asked for at the same time; the prompts of a paper follow each other, so that a server's prefix
        cache serves all but the first. All draws of a prompt are one request (`n`), which most servers compute with one
        prefill; a server that gives fewer is asked again for the others.
    retries, timeout: for each request; seconds. Retried with growing waits: timeouts, refused connections, 429, 5xx.
    The key is read from the environment variable OPENAI_API_KEY and nowhere else; without it "none" is sent.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_new_tokens: int = 96,
        chat: bool = False,
        concurrency: int = 16,
        retries: int = 6,
        timeout: float = 120.0,
    ) -> None:
        self.model = model
        self.base_url = base_url
        self.temperature = temperature
        self.top_p = top_p
        self.max_new_tokens = max_new_tokens
        self.chat = chat
        self.concurrency = concurrency
        key = os.environ.get(KEY_VARIABLE) or "none"
        self.client = OpenAI(base_url=base_url, api_key=key, max_retries=retries, timeout=timeout)

    @property
    def settings(self) -> dict[str, Any]:
        """Model and sampling; where the server is and how it is asked does not belong to the job."""
        names = ("model", "temperature", "top_p", "max_new_tokens", "chat")
        return {name: getattr(self, name) for name in names}

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
            "max_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": seed % 2**31,
        } | ({"n": n} if n > 1 else {})
        try:
            if self.chat:
                message: Any = [{"role": "user", "content": text}]
                response: Any = self.client.chat.completions.create(messages=message, **options)
                texts = [(choice.message.content, choice.finish_reason) for choice in response.choices]
            else:
                response = self.client.completions.create(prompt=text, **options)
                texts = [(choice.text, choice.finish_reason) for choice in response.choices]
        except (APIStatusError, APIConnectionError) as error:
            raise DataError(self._explain(error)) from error
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
            return f"{self.base_url}: no model {self.model!r} there ({error.message:.200}). It has {self._models()}."
        if isinstance(error, APIStatusError):
            return f"{self.base_url}: request refused with status {error.status_code} ({error.message:.200})."
        return (
            f"{self.base_url}: no answer after {self.client.max_retries} retries ({error.message}). "
            "Is the server up? Start it and run again; the job continues."
        )

    def _models(self) -> str:
        try:
            return ", ".join(sorted(model.id for model in self.client.models.list())) or "none"
        except (APIStatusError, APIConnectionError):
            return "a list that could not be had"


def _grouped(indices: Sequence[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """The indices with equal keys together, in order of appearance."""
    groups: dict[Hashable, list[int]] = {}
    for index in indices:
        groups.setdefault(key(index), []).append(index)
    return list(groups.values())
