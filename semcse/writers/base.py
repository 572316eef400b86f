"""What a writer is: requests in, continuations out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable

from semcse.cleaning import Rules
from semcse.prompts import split_continuation_prompt


@dataclass(frozen=True)
class Request:
    """One continuation that is wanted.

    `prompt` is a key such as "findings", `text` the whole text to continue (or to answer), `seed` belongs to this one
    (seed, paper, prompt, draw, attempt), so that the answer need not depend on what else is asked for at the same time.
    """

    paper: Mapping[str, Any]
    prompt: str
    text: str
    draw: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Continuation:
    """An answer: its text, how many tokens were generated for it, and why it ended.

    `finish_reason`: "sentence" (cut at the first sentence end), "stop" (the model ended), "length" (token limit),
    "ready" (not generated now).
    """

    text: str
    tokens: int = 0
    finish_reason: str = "ready"


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How a language model writes.

    temperature, top_p: not stated in the paper; the defaults are those that Llama-3-8B's own generation settings have.
        Temperature 0 takes the most probable token.
    max_new_tokens: limit of one continuation.
    chat: the request's text is a message to an instruction model, wrapped in its chat template, and not the beginning
        of a text that a base model continues.
    """

    temperature: float = 0.6
    top_p: float = 0.9
    max_new_tokens: int = 96
    chat: bool = False

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1:
            raise ValueError(
                "expected temperature >= 0, 0 < top_p <= 1 and max_new_tokens >= 1, got "
                f"{self.temperature}, {self.top_p} and {self.max_new_tokens}"
            )


SAMPLED = Decoding()


def continuation_seed(seed: int, corpus_id: object, prompt: str, draw: int, attempt: int = 0) -> int:
    """The 63-bit seed of one continuation, a function of these five alone."""
    key = json.dumps([seed, str(corpus_id), prompt, draw, attempt]).encode()
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little") >> 1


@runtime_checkable
class PlainWriter(Protocol):
    """The least that a writer must offer: n continuations for each prompt text."""

    def write(self, prompts: list[str], n: int) -> list[list[str]]:
        """A list of n texts for each prompt, in the order of the prompts."""


class Writer:
    """Base of the writers here. A subclass implements `continuations`.

    `model` is stored with each row. `needs_paper` says that it looks at the paper and not only at the text. `redraws`
    says whether asking again can give another text. `rules` are the limits for its texts. `settings` are the values
    on which its texts depend; with others, a job is another job.
    """

    model: str = ""
    needs_paper: bool = False
    redraws: bool = True
    rules: Rules = Rules()

    @property
    def settings(self) -> dict[str, Any]:
        """Values on which the texts depend, as JSON can hold them."""
        return {"model": self.model}

    def check(self, papers: Iterable[Mapping[str, Any]]) -> None:
        """Raise DataError before the job starts when this writer cannot serve these papers."""

    def slots(self, paper: Mapping[str, Any], prompts: Mapping[str, str], draws: int) -> list[tuple[str, int]]:
        """The (prompt, draw) pairs to be filled for a paper."""
        return [(prompt, draw) for prompt in prompts for draw in range(draws)]

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        """One continuation for each request, in order."""
        raise NotImplementedError

    def write(self, prompts: list[str], n: int) -> list[list[str]]:
        """n texts for each prompt text; draw k for the same text is the same in every call."""
        requests = [self._plain_request(text, draw) for text in prompts for draw in range(n)]
        texts = [continuation.text for continuation in self.continuations(requests)]
        return [texts[start : start + n] for start in range(0, len(texts), n)]

    def _plain_request(self, text: str, draw: int) -> Request:
        paper, key = {"corpus_id": text}, ""
        if self.needs_paper:
            title, abstract, key = split_continuation_prompt(text)
            paper |= {"title": title, "abstract": abstract}
        return Request(paper, key, text, draw, continuation_seed(0, text, key, draw))


class ModelWriter(Writer):
    """A writer that lets a language model write: `model` is its name, `decoding` says how."""

    def __init__(self, model: str, decoding: Decoding) -> None:
        self.model = model
        self.decoding = decoding

    @property
    def settings(self) -> dict[str, Any]:
        """Model and decoding; where and in which batches the model runs is not among them, and changes no text."""
        return {"model": self.model, **asdict(self.decoding)}


class Wrapped(Writer):
    """Gives any object with `write(prompts, n)` the place of a Writer in the job."""

    def __init__(self, plain: PlainWriter) -> None:
        self.plain = plain
        self.model = str(getattr(plain, "model", type(plain).__name__))

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        places: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            places.setdefault(request.text, []).append(index)
        answers = [Continuation("")] * len(requests)
        draws = max((len(indices) for indices in places.values()), default=0)
        for indices, texts in zip(places.values(), self.plain.write(list(places), draws), strict=True):
            if len(texts) != draws:
                raise ValueError(f"asked {self.model} for {draws} texts a prompt, got {len(texts)}")
            for index, text in zip(indices, texts, strict=False):
                answers[index] = Continuation(text, finish_reason="stop")
        return answers


def as_writer(writer: Writer | PlainWriter) -> Writer:
    """The writer itself, or a wrapper around an object that has only `write`."""
    if isinstance(writer, Writer):
        return writer
    if isinstance(writer, PlainWriter):
        return Wrapped(writer)
    raise TypeError(f"expected a writer with a method write(prompts, n), got {type(writer).__name__}")
