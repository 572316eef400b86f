"""A job of writing, and the rows of one shard: asked for, cleaned, drawn again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from semcse.cleaning import Rules, canonical, reject_reason, tidy
from semcse.writers.base import Continuation, Request, Writer, continuation_seed

Paper = Mapping[str, Any]
Papers = Sequence[Paper]

FORMAT = 1


@dataclass(frozen=True)
class Job:
    """What is to be written; two jobs with equal `identity` write equal rows."""

    writer: Writer
    prompts: Mapping[str, str]
    draws: int
    seed: int
    shard_size: int
    redraws: int
    rules: Rules
    compose: Callable[[Paper, str], str]

    @property
    def identity(self) -> dict[str, Any]:
        """The values on which a row depends, as the manifest holds them."""
        return {
            "format": FORMAT,
            "writer": self.writer.settings,
            "prompts": dict(self.prompts),
            "draws": self.draws,
            "seed": self.seed,
            "redraws": self.redraws,
            "rules": asdict(self.rules),
        }


def write_rows(job: Job, chunk: Sequence[Paper]) -> list[dict[str, Any]]:
    """The rows of a shard, accepted and rejected, in the order of papers, prompts, draws and attempts."""
    places = [
        (index, prompt, draw)
        for index, paper in enumerate(chunk)
        for prompt, draw in job.writer.slots(paper, job.prompts, job.draws)
    ]
    rows: dict[tuple[int, str, int], list[dict[str, Any]]] = {place: [] for place in places}
    accepted: list[set[str]] = [set() for _ in chunk]
    for attempt in range(job.redraws + 1 if job.writer.redraws else 1):
        requests = [_request(job, chunk[index], prompt, draw, attempt) for index, prompt, draw in places]
        answers = job.writer.continuations(requests) if requests else []
        for place, request, answer in zip(places, requests, answers, strict=True):
            rows[place].append(_row(job, request, answer, attempt, accepted[place[0]]))
        places = [place for place in places if rows[place][-1]["reject"] is not None]
    return [row for place_rows in rows.values() for row in place_rows]


def _request(job: Job, paper: Paper, prompt: str, draw: int, attempt: int) -> Request:
    text = job.compose(paper, job.prompts[prompt]) if prompt in job.prompts else ""
    return Request(paper, prompt, text, draw, continuation_seed(job.seed, paper["corpus_id"], prompt, draw, attempt))


def _row(job: Job, request: Request, answer: Continuation, attempt: int, accepted: set[str]) -> dict[str, Any]:
    """One row; an accepted text joins `accepted`, the texts of its paper in canonical form."""
    text = tidy(answer.text)
    reject = reject_reason(
        text,
        title=request.paper["title"],
        abstract=request.paper["abstract"],
        finish_reason=answer.finish_reason,
        prompts=list(job.prompts.values()),
        others=accepted,
        rules=job.rules,
    )
    if reject is None:
        accepted.add(canonical(text))
    return {
        "corpus_id": request.paper["corpus_id"],
        "prompt": request.prompt,
        "draw": request.draw,
        "text": text,
        "tokens": answer.tokens,
        "finish_reason": answer.finish_reason,
        "model": job.writer.model,
        "seed": request.seed,
        "attempt": attempt,
        "reject": reject,
    }
