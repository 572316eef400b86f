"""A causal language model in this process that continues title and abstract after each prompt (section 4.1)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria

from semcse.readers import DataError
from semcse.sentences import first_sentence
from semcse.writers.base import SAMPLED, Continuation, Decoding, ModelWriter, Request
from semcse.writers.loading import load_model, stop_tokens
from semcse.writers.sampling import SeededSampling, pick, uniforms
from semcse.writers.shared_prefix import check_model, context_limit, generate
from semcse.writers.trees import build_trees


class TransformersWriter(ModelWriter):
    """Sampled continuations by a causal model, cut at the first sentence end.

    model: hub name or local folder, or a loaded model (then give `tokenizer`).
    batch_tokens: limit of prompts and continuations computed together.
    shared_prefix: compute and store the paper once for all its continuations (see `shared_prefix.py`); without it every
        continuation computes it anew, by `model.generate`. The texts are the same.
    A continuation is a function of its request's seed, whatever else is written at the same time.
    """

    check_every = 4

    def __init__(
        self,
        model: str | Path | PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        decoding: Decoding = SAMPLED,
        batch_tokens: int = 16384,
        shared_prefix: bool = True,
        dtype: str = "auto",
        device: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self.network, self.tokenizer = load_model(
            model, tokenizer, dtype=dtype, device=device, trust_remote_code=trust_remote_code
        )
        name = str(model) if isinstance(model, (str, Path)) else self.network.config._name_or_path or "model"
        super().__init__(name, decoding)
        if decoding.chat and self.tokenizer.chat_template is None:
            raise DataError(f"{name}: no chat template. Queries need an instruction-tuned model: choose another.")
        self.batch_tokens = batch_tokens
        self.shared_prefix = shared_prefix
        self._checked = False
        self.stop_ids = stop_tokens(self.network, self.tokenizer)

    def continuations(self, requests: Sequence[Request]) -> list[Continuation]:
        """One continuation for each request, in order."""
        prompts = [self._encode(request) for request in requests]
        write = self._share if self.shared_prefix else self._repeat
        return [self.finish(ids) for ids in write(prompts, requests)]

    @torch.inference_mode()
    def _share(self, prompts: list[list[int]], requests: Sequence[Request]) -> list[list[int]]:
        if not self._checked:
            check_model(self.network)
            self._checked = True
        uniform = uniforms([request.seed for request in requests], self.decoding.max_new_tokens).to(self.network.device)

        def choose(numbers: torch.Tensor, steps: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            return pick(logits, uniform[numbers, steps], self.decoding.temperature, self.decoding.top_p)

        trees = build_trees(prompts, [str(request.paper.get("corpus_id")) for request in requests])
        limits = {"max_new_tokens": self.decoding.max_new_tokens, "budget": self.batch_tokens}
        written = generate(self.network, trees, choose, self.ended, **limits)
        return [written[number] for number in range(len(requests))]

    @torch.inference_mode()
    def _repeat(self, prompts: list[list[int]], requests: Sequence[Request]) -> list[list[int]]:
        """By `model.generate` on every full prompt: for models that cannot share, and to compare with."""
        written: dict[int, list[int]] = {}
        for batch in _batches([len(prompt) + self.decoding.max_new_tokens for prompt in prompts], self.batch_tokens):
            rows = self._generate([prompts[index] for index in batch], [requests[index].seed for index in batch])
            written.update(zip(batch, rows, strict=True))
        return [written[number] for number in range(len(requests))]

    def _encode(self, request: Request) -> list[int]:
        text = request.text
        if self.decoding.chat:
            message = [{"role": "user", "content": text}]
            text = str(self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
        ids: list[int] = self.tokenizer(text, add_special_tokens=not self.decoding.chat)["input_ids"]
        limit = context_limit(self.network, self.shared_prefix)
        new = self.decoding.max_new_tokens
        if limit is not None and len(ids) + new > limit:
            raise DataError(
                f"corpus_id {request.paper.get('corpus_id')!r}: {len(ids)} prompt and {new} new "
                f"tokens are more than {self.model} takes ({limit}). Shorten the abstract, or take a model with a "
                "longer context."
            )
        return ids

    def _generate(self, prompts: list[list[int]], seeds: list[int]) -> list[list[int]]:
        width = max(map(len, prompts))
        pad = self.stop_ids[0]
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        uniform = uniforms(seeds, self.decoding.max_new_tokens).to(self.network.device)
        output = self.network.generate(  # type: ignore[operator]
            ids.to(self.network.device),
            attention_mask=mask.to(self.network.device),
            max_new_tokens=self.decoding.max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=pad,
            eos_token_id=self.stop_ids,
            logits_processor=[SeededSampling(uniform, width, self.decoding.temperature, self.decoding.top_p)],
            stopping_criteria=[_SentenceEnd(self, width)],
        )
        return [self._until_end(row) for row in output[:, width:].tolist()]

    def _until_end(self, ids: list[int]) -> list[int]:
        """The tokens of a row up to its end: the stop token, or the check that found a complete sentence."""
        for length in range(1, len(ids) + 1):
            if self.ended(ids[:length]):
                return ids[:length]
        return ids

    def ended(self, ids: Sequence[int]) -> bool:
        """Whether a continuation is over after these tokens; sentences are looked for every few tokens."""
        if ids and ids[-1] in self.stop_ids:
            return True
        return len(ids) % self.check_every == 0 and first_sentence(self._decode(ids))[1]

    def finish(self, ids: Sequence[int]) -> Continuation:
        """The continuation that these generated tokens make."""
        text, complete = first_sentence(self._decode(ids))
        stopped = bool(ids) and ids[-1] in self.stop_ids
        reason = "sentence" if complete else "stop" if stopped else "length"
        return Continuation(text, len(ids), reason)

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


class _SentenceEnd(StoppingCriteria):
    """Ends a row of `model.generate` when its sentence is complete."""

    def __init__(self, writer: TransformersWriter, width: int) -> None:
        self.writer = writer
        self.width = width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        ended = [self.writer.ended(row) for row in input_ids[:, self.width :].tolist()]
        return torch.tensor(ended, device=input_ids.device)


def _batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of texts of similar length, longest first, such that rows times longest stays within the budget."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
