"""Generation in process: sharing a paper's keys changes nothing, and a seed gives its text in any company."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_llama import tiny_model, tiny_tokenizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from semcse.cleaning import Rules
from semcse.prompts import PROMPTS, continuation_prompt
from semcse.readers import DataError
from semcse.summaries import generate_summaries, load_summaries
from semcse.writers import Request
from semcse.writers.base import Decoding, continuation_seed
from semcse.writers.in_process import TransformersWriter
from semcse.writers.sampling import HEAD, pick, uniforms
from semcse.writers.shared_prefix import check_model, generate
from semcse.writers.trees import build_trees

WORDS = [
    "the",
    "cells",
    "grow",
    "with",
    "results",
    "of",
    "a",
    "new",
    "method",
    "and",
    "small",
    "models",
    "learn",
    "in",
    "large",
    "samples",
    "of",
    "mice",
]


def paper(number: int, words: int) -> dict[str, object]:
    random = np.random.default_rng(number)
    abstract = " ".join(random.choice(WORDS, words)) + "."
    return {"corpus_id": number, "title": f"Title {number}", "abstract": abstract}


def requests_for(papers: list[dict[str, object]], draws: int = 3) -> list[Request]:
    return [
        Request(item, key, continuation_prompt(item, prompt), draw, continuation_seed(0, item["corpus_id"], key, draw))
        for item in papers
        for key, prompt in PROMPTS.items()
        for draw in range(draws)
    ]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return tiny_model()


@pytest.fixture(scope="module", params=["left", "right"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return tiny_tokenizer(request.param)


def greedy(model: LlamaForCausalLM, ids: list[int], new: int) -> list[int]:
    """Plain `model.generate` on one full prompt."""
    output = model.generate(torch.tensor([ids]), max_new_tokens=new, do_sample=False, pad_token_id=1)
    return output[0, len(ids) :].tolist()


@pytest.fixture(scope="module")
def compared(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> tuple[list[Request], list[list[int]], list[list[int]]]:
    """Requests for abstracts of different lengths, their token ids, and what plain generate makes of each."""
    requests = requests_for([paper(number, words) for number, words in enumerate((5, 40, 12))], draws=1)
    prompts = [tokenizer(request.text)["input_ids"] for request in requests]
    return requests, prompts, [greedy(model, ids, 12) for ids in prompts]


@pytest.mark.parametrize("budget", [1, 900, 100_000], ids=["alone", "joining", "together"])
def test_greedy_is_plain_generate(
    model: LlamaForCausalLM, compared: tuple[list[Request], list[list[int]], list[list[int]]], budget: int
) -> None:
    """Abstracts and prompts of different lengths, one to many papers in flight."""
    requests, prompts, expected = compared
    trees = build_trees(prompts, [request.paper["corpus_id"] for request in requests])
    with torch.inference_mode():
        ours = generate(
            model, trees, lambda _, __, logits: logits.argmax(-1), lambda ids: ids[-1] == 1,
            max_new_tokens=12, budget=budget,
        )  # fmt: skip
    assert [ours[number] for number in range(len(prompts))] == expected


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_shared_and_repeated_prefix_give_the_same(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, temperature: float
) -> None:
    """Sampled texts too, with branches that end at different times, against `generate` on padded full prompts."""
    requests = requests_for([paper(number, 8 + 5 * number) for number in range(3)])
    decoding = Decoding(temperature=temperature, top_p=0.95, max_new_tokens=16)
    shared = TransformersWriter(model, tokenizer, decoding=decoding).continuations(requests)
    plain = TransformersWriter(model, tokenizer, decoding=decoding, shared_prefix=False, batch_tokens=3000)
    assert shared == plain.continuations(requests)
    assert temperature == 0 or len({answer.tokens for answer in shared}) > 1


@pytest.mark.parametrize("batch_tokens", [1, 700, 100_000])
def test_a_seed_gives_its_text_in_any_company(model: LlamaForCausalLM, batch_tokens: int) -> None:
    decoding = Decoding(temperature=1.0, max_new_tokens=12)
    writer = TransformersWriter(model, tiny_tokenizer(), decoding=decoding, batch_tokens=batch_tokens)
    requests = requests_for([paper(number, 10 + 7 * number) for number in range(4)])
    together = dict(zip(requests_key(requests), writer.continuations(requests), strict=True))
    some = [requests[number] for number in (40, 7, 8, 22, 59)]
    assert writer.continuations(some) == [together[key] for key in requests_key(some)]


def requests_key(requests: list[Request]) -> list[tuple[object, str, int]]:
    return [(request.paper["corpus_id"], request.prompt, request.draw) for request in requests]


def test_draws_differ_and_seeds_matter(model: LlamaForCausalLM, tmp_path: Path) -> None:
    writer = TransformersWriter(model, tiny_tokenizer(), decoding=Decoding(temperature=1.0, max_new_tokens=16))
    anything = Rules(min_words=1, sentence_end=False)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate_summaries([paper(0, 12)], writer, tmp_path / name, seed=seed, redraws=0, rules=anything)
    a, b, c = (load_summaries(tmp_path / name) for name in "abc")
    assert len(a) > 10
    assert a["text"].tolist() == b["text"].tolist() != c["text"].tolist()
    assert not a.duplicated(["corpus_id", "text"]).any()


def test_trees_share_the_longest_beginning() -> None:
    trees = build_trees([[1, 2, 3, 4], [1, 2, 5], [1, 2, 3, 4], [1, 2, 3, 4], [9]], [0, 0, 0, 7, 8])
    assert (trees[0].prefix, trees[0].suffixes, trees[0].requests) == ([1, 2], [[3, 4], [5]], [[0, 2], [1]])
    assert (trees[1].prefix, trees[1].suffixes) == ([1, 2, 3], [[4]])
    assert (trees[2].prefix, trees[2].suffixes) == ([], [[9]])


def test_prompt_without_a_common_beginning(model: LlamaForCausalLM) -> None:
    prompts = [[5], [6, 7, 8]]
    with torch.inference_mode():
        ours = generate(
            model, build_trees(prompts, [0, 0]), lambda _, __, logits: logits.argmax(-1), lambda ids: False,
            max_new_tokens=5, budget=1,
        )  # fmt: skip
    model.generation_config.eos_token_id, stop = None, model.generation_config.eos_token_id
    expected = [greedy(model, ids, 5) for ids in prompts]
    model.generation_config.eos_token_id = stop
    assert [ours[0], ours[1]] == expected


def test_less_is_computed(model: LlamaForCausalLM) -> None:
    """Each token of an abstract goes through the model once, not fifteen times."""
    requests = requests_for([paper(0, 60)])
    counts = {}
    for shared in (True, False):
        writer = TransformersWriter(model, tiny_tokenizer(), decoding=Decoding(max_new_tokens=2), shared_prefix=shared)
        writer.continuations(requests[:1])
        passed: list[int] = []
        handle = model.register_forward_pre_hook(
            lambda _, __, kwargs, passed=passed: passed.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
        writer.continuations(requests)
        handle.remove()
        counts[shared] = sum(passed)
    assert counts[False] > 5 * counts[True]


def test_model_that_ignores_the_mask_is_refused() -> None:
    model = tiny_model(seed=3)
    forward = model.forward
    model.forward = lambda attention_mask=None, **rest: forward(**rest)  # type: ignore[method-assign]
    with torch.inference_mode(), pytest.raises(ValueError, match="set shared_prefix to false"):
        check_model(model)


def test_pick_follows_the_distribution() -> None:
    """At evenly spread uniform numbers each token comes up as often as its probability says, up to one each."""
    torch.manual_seed(0)
    logits = torch.randn(1, 40)
    count = 4000
    uniform = (torch.arange(count) + 0.5) / count
    drawn = pick(logits.expand(count, -1), uniform, 0.7, 1.0)
    expected = torch.softmax(logits[0] / 0.7, 0) * count
    assert (torch.bincount(drawn, minlength=40) - expected).abs().max() < 2
    nucleus = pick(logits.expand(count, -1), uniform, 0.7, 0.5)
    ordered = torch.softmax(logits[0] / 0.7, 0).sort(descending=True)
    kept = int((ordered.values.cumsum(0) < 0.5).sum()) + 1
    assert set(nucleus.tolist()) == set(ordered.indices[:kept].tolist())


def test_pick_with_and_without_its_short_cut() -> None:
    """Rows whose mass lies within the first tokens, and flat rows, draw as a full sort does."""
    torch.manual_seed(1)
    logits = torch.randn(64, 4 * HEAD) * torch.linspace(0.1, 8, 64)[:, None]
    uniform = torch.rand(64)
    ordered, tokens = logits.sort(dim=-1, descending=True)
    cumulative = ordered.softmax(-1).double().cumsum(-1)
    expected = []
    for row in range(64):
        kept = int((cumulative[row] < 0.9).sum())
        place = int((cumulative[row] <= uniform[row] * cumulative[row, kept]).sum())
        expected.append(int(tokens[row, min(place, kept)]))
    assert pick(logits, uniform, 1.0, 0.9).tolist() == expected


def test_uniforms_belong_to_their_seed() -> None:
    both = uniforms([3, 2**62], 5)
    assert torch.equal(both[1:], uniforms([2**62], 5))
    assert ((both >= 0) & (both < 1)).all()


def test_text_is_cut_at_the_sentence_end(model: LlamaForCausalLM) -> None:
    tokenizer = tiny_tokenizer()
    writer = TransformersWriter(model, tokenizer)
    for text, expected in [
        (
            " the cells, e.g. in mice, grow by 3.5 percent. Then",
            ("the cells, e.g. in mice, grow by 3.5 percent.", "sentence"),
        ),
        (" models learn", ("models learn", "length")),
    ]:
        answer = writer.finish(tokenizer(text, add_special_tokens=False)["input_ids"])
        assert (answer.text, answer.finish_reason) == expected
    assert writer.finish([*tokenizer(" so it is", add_special_tokens=False)["input_ids"], 1]).finish_reason == "stop"


def test_errors(model: LlamaForCausalLM, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing-here: no causal language model"):
        TransformersWriter(str(tmp_path / "nothing-here"))
    with pytest.raises(ValueError, match="expected temperature >= 0"):
        Decoding(temperature=-1)
    with pytest.raises(ValueError, match="needs its tokenizer"):
        TransformersWriter(model)
    with pytest.raises(DataError, match=r"corpus_id 5: \d+ prompt and 96 new tokens are more than"):
        TransformersWriter(model, tiny_tokenizer()).continuations(requests_for([paper(5, 2000)])[:1])


def test_local_folder(model: LlamaForCausalLM, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    writer = TransformersWriter(tmp_path, decoding=Decoding(temperature=0, max_new_tokens=8))
    requests = requests_for([paper(0, 6)], draws=1)
    loaded = TransformersWriter(model, tiny_tokenizer(), decoding=Decoding(temperature=0, max_new_tokens=8))
    assert writer.continuations(requests) == loaded.continuations(requests)
    assert writer.write([requests[0].text], 2) == [[writer.continuations(requests)[0].text] * 2]
