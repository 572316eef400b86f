"""A writer without a model: sentences of the abstract, chosen by prompt and shortened."""

import re
from collections.abc import Sequence

import numpy as np

from semcse.cleaning import Rules
from semcse.sentences import split_sentences
from semcse.writers.base import Continuation, Request, Writer

PLACES = {"findings": 0.75, "concern": 0.1, "conclusion": 1.0, "comprehensive": 0.4, "takeaway": 0.9}
"""Where in the abstract (0 first, 1 last sentence) the answer to a prompt usually stands."""

SPREAD = 0.25
MIN_WORDS = 6
MOST_CLAUSES = 64
"""Of a sentence; its windows grow with the square of them, and a list of 20,000 names is one sentence, too."""

_ASIDE = re.compile(r"\s*[(\[][^()\[\]]*[)\]]")
_OPENER = re.compile(
    r"^(?:in this (?:paper|work|study|article)|in (?:summary|conclusion|addition|contrast|particular)|however|moreover|"
    r"furthermore|therefore|thus|finally|here|(?:results|conclusions?|background|objectives?|methods) ?:?)\s*,?\s+",
    re.IGNORECASE,
)


def choose(sentences: Sequence[str], prompt: str, draw: int, random: np.random.Generator) -> str:
    """A sentence near the prompt's usual place; the draws of one generator prefer different ones."""
    positions = np.linspace(0.0, 1.0, len(sentences))
    score = -(((positions - PLACES.get(prompt, 0.5)) / SPREAD) ** 2) / 2 + random.gumbel(size=len(sentences))
    return sentences[int(np.argsort(-score)[draw % len(sentences)])]


def shorten(sentence: str, random: np.random.Generator) -> str:
    """The sentence without asides and openers, and, as chance has it, without its first or last clauses.

    Clauses end at a comma or semicolon. What remains has at least six words if the sentence had.
    """
    plain = _OPENER.sub("", _ASIDE.sub("", sentence)).strip()
    clauses = re.split(r"(?<=[,;])\s+", plain)[:MOST_CLAUSES]
    windows = [
        " ".join(clauses[start:end]) for start in range(len(clauses)) for end in range(start + 1, len(clauses) + 1)
    ]
    long_enough = [window for window in windows if len(window.split()) >= MIN_WORDS] or [plain]
    return long_enough[int(random.integers(len(long_enough)))].rstrip(",;:. ") + "."


class ExtractiveWriter(Writer):
    """Chosen and shortened abstract sentences: different by prompt and draw, the same for the same seed.

    Needs no model and no network. A stand-in, not the paper's method: its texts copy the abstract by design, so the
    rule against copies is off.
    """

    model = "extractive"
    needs_paper = True
    rules = Rules(min_words=3, forbid_abstract=False)

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        """One shortened sentence for each request, a function of the request's seed, prompt and abstract."""
        return [Continuation(self._text(request)) for request in requests]

    def _text(self, request: Request) -> str:
        sentences = split_sentences(request.paper["abstract"]) or [request.paper["title"]]
        random = np.random.default_rng(request.seed)
        return shorten(choose(sentences, request.prompt, request.draw, random), random)
