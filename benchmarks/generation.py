"""Shared-prefix generation against plain `model.generate` and transformers' continuous batching, in one run.

    python benchmarks/generation.py --check               # a Llama of 71M random parameters on the CPU, minutes
    python benchmarks/generation.py --shape 8b --papers 64 --budget 262144 --device cuda --dtype bfloat16

Prints, for each way of writing 5 prompts x 3 draws a paper with the same number of new tokens: seconds on the wall and,
on a CPU, of the processor, which other programs on the machine disturb less (rates and extrapolated hours use these);
tokens per second; tokens computed before the first new one; peak memory above the loaded model; and how many times
longer than the shared prefix it took, by both clocks. `--check` compares greedy outputs with separate calls.

Continuous batching is measured twice: prompts of a paper one after the other, as one would send them, and prompt by
prompt over all papers in small batches, which lets the later prompts find the blocks of the first. Its blocks hold 32
tokens, since with the default 256 an abstract of 250 fills none and nothing is shared.
"""

import argparse
import ctypes
import platform
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.utils import logging

from semcse.writers.sampling import pick, uniforms
from semcse.writers.shared_prefix import generate
from semcse.writers.trees import build_trees

SHAPES = {
    "70m": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 12, "num_attention_heads": 8,
            "num_key_value_heads": 4, "vocab_size": 32_000},
    "8b": {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 128_256},
}  # fmt: skip
PROMPT_TOKENS = (24, 7, 13, 9, 9)
DRAWS = 3
BLOCK = 32
PAPERS_OF_THE_STUDY = 350_000
TEMPERATURE, TOP_P = 0.6, 0.9
PEAKED = 12.0
"""Factor on the random output weights: next-token probabilities become as concentrated as those of a trained model."""


@dataclass
class Measured:
    """One way of writing, measured."""

    seconds: float
    wall: float
    prefill: int
    memory: float
    output: list[list[int]]


def build(shape: str, device: str, dtype: str) -> PreTrainedModel:
    """A Llama with random weights and without a stop token, so that all outputs have the same length."""
    torch.manual_seed(0)
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=4096, eos_token_id=None, pad_token_id=0)
    torch.set_default_dtype(getattr(torch, dtype))
    with torch.device(device):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.generation_config.eos_token_id = None
    model.lm_head.weight.data.mul_(PEAKED)
    return model.eval()


def make_prompts(papers: int, tokens: int, vocabulary: int) -> list[list[list[int]]]:
    """Five random prompts behind a random abstract for each paper; the prompts are the same for all papers."""
    generator = torch.Generator().manual_seed(1)

    def draw(count: int) -> list[int]:
        return torch.randint(0, vocabulary, (count,), generator=generator).tolist()

    suffixes = [draw(count) for count in PROMPT_TOKENS]
    return [[abstract + suffix for suffix in suffixes] for abstract in (draw(tokens) for _ in range(papers))]


def shared(
    model: PreTrainedModel, papers: list[list[list[int]]], new: int, sample: bool, budget: int
) -> list[list[int]]:
    """Ours: fifteen branches of one stored prefix, many papers in flight."""
    prompts = [prompt for paper in papers for prompt in paper for _ in range(DRAWS)]
    groups = [index // (len(PROMPT_TOKENS) * DRAWS) for index in range(len(prompts))]
    uniform = uniforms(range(len(prompts)), new).to(model.device)

    def choose(numbers: torch.Tensor, steps: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        return pick(logits, uniform[numbers, steps], TEMPERATURE if sample else 0.0, TOP_P)

    trees = build_trees(prompts, groups)
    answers = generate(model, trees, choose, lambda ids: False, max_new_tokens=new, budget=budget)
    return [answers[index] for index in range(len(prompts))]


def separate(
    model: PreTrainedModel, papers: list[list[list[int]]], new: int, sample: bool, draws: int
) -> list[list[int]]:
    """(a) with `draws` 1: fifteen calls a paper, one sequence each."""
    return [_call(model, [prompt], new, sample, draws)[0] for paper in papers for prompt in paper for _ in range(DRAWS)]


def returned(model: PreTrainedModel, papers: list[list[list[int]]], new: int, sample: bool) -> list[list[int]]:
    """(b): one call a paper with its five prompts and `num_return_sequences=3`."""
    return [row for paper in papers for row in _call(model, paper, new, sample, DRAWS)]


def _call(model: PreTrainedModel, prompts: list[list[int]], new: int, sample: bool, draws: int) -> list[list[int]]:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    if not sample:
        ids, mask = ids.repeat_interleave(draws, 0), mask.repeat_interleave(draws, 0)
    sampling = {"temperature": TEMPERATURE, "top_p": TOP_P, "top_k": 0, "num_return_sequences": draws} if sample else {}
    output = model.generate(
        ids, attention_mask=mask, max_new_tokens=new, min_new_tokens=new, do_sample=sample, pad_token_id=0, **sampling
    )
    return output[:, width:].tolist()


def batched(model: PreTrainedModel, papers: list[list[list[int]]], new: int, by_prompt: bool) -> list[list[int]]:
    """(c): `generate_batch`, continuous batching with block sharing; with `by_prompt` in the order that shares most."""
    prompts = [paper[k] for k in range(len(PROMPT_TOKENS)) for paper in papers]
    if not by_prompt:
        prompts = [prompt for paper in papers for prompt in paper]
    settings = GenerationConfig(
        do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0, max_new_tokens=new, num_return_sequences=DRAWS,
        eos_token_id=-1, pad_token_id=0,
    )  # fmt: skip
    longest = max(map(len, prompts)) + new
    config = ContinuousBatchingConfig(
        page_size=BLOCK,
        num_blocks=len(prompts) * DRAWS * (longest // BLOCK + 2),
        max_batch_tokens=longest if by_prompt else 2048,
    )
    with torch.inference_mode(False):  # its own thread cannot write to tensors made in inference mode
        found = model.generate_batch(prompts, generation_config=settings, continuous_batching_config=config)
    return [output.generated_tokens for output in found.values()]


@contextmanager
def counted(model: PreTrainedModel) -> Iterator[list[int]]:
    """All tokens that go through the model."""
    total = [0]

    def count(module: torch.nn.Module, args: tuple[object, ...], kwargs: dict[str, torch.Tensor]) -> None:
        total[0] += kwargs["input_ids"].numel()

    handle = model.register_forward_pre_hook(count, with_kwargs=True)
    yield total
    handle.remove()


@contextmanager
def peak_memory(device: str) -> Iterator[list[float]]:
    """MiB above the start, at the highest: of the process on the CPU (sampled), of the allocator on a GPU."""
    peak = [0.0]
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        yield peak
        peak[0] = (torch.cuda.max_memory_allocated() - start) / 2**20
        return
    if platform.system() == "Linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what the way before has freed is not to hide what this one takes
    process, over = psutil.Process(), threading.Event()
    start = process.memory_info().rss

    def watch() -> None:
        while not over.wait(0.01):
            peak[0] = max(peak[0], (process.memory_info().rss - start) / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    yield peak
    over.set()
    thread.join()


def measure(model: PreTrainedModel, device: str, write: Callable[[], list[list[int]]]) -> Measured:
    """Run `write` once."""
    with counted(model) as computed, peak_memory(device) as memory, torch.inference_mode():
        begin, begin_cpu = time.perf_counter(), time.process_time()
        output = write()
        if device != "cpu":
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    prefill = computed[0] - sum(len(row) - 1 for row in output)
    return Measured(cpu if device == "cpu" else wall, wall, prefill, memory[0], output)


def show(name: str, measured: Measured, ours: Measured, papers: int) -> None:
    """One line of the table."""
    new = sum(map(len, measured.output))
    hours = measured.seconds / papers * PAPERS_OF_THE_STUDY / 3600
    print(
        f"{name:34} {measured.wall:8.2f} {measured.seconds:8.2f} {new / measured.seconds:9,.0f} "
        f"{measured.prefill:9,} {measured.memory:9,.0f} {measured.wall / ours.wall:7.2f} "
        f"{measured.seconds / ours.seconds:7.2f} {hours:9,.1f}"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="70m")
    parser.add_argument("--papers", type=int, default=3)
    parser.add_argument("--abstract-tokens", type=int, default=250)
    parser.add_argument("--new-tokens", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--budget", type=int, default=16_384, help="cached keys in flight")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--without", nargs="+", default=[], choices=["a", "b", "c"], help="leave out these ways")
    parser.add_argument("--check", action="store_true", help="compare greedy outputs with separate calls")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()
    model = build(options.shape, options.device, options.dtype)
    print(f"{model.num_parameters() / 1e6:.0f}M parameters, {options.dtype}, {options.device}, "
          f"{torch.get_num_threads()} threads; {options.papers} papers of {options.abstract_tokens} tokens, 5 prompts "
          f"of {PROMPT_TOKENS} tokens, {DRAWS} draws")  # fmt: skip
    papers = make_prompts(options.papers, options.abstract_tokens, model.config.vocab_size)
    measure(model, options.device, lambda: shared(model, papers[:2], 2, True, options.budget))
    for new in options.new_tokens:
        print(f"\n{f'{new} new tokens each':34} {'wall s':>8} {'seconds':>8} {'tokens/s':>9} {'prefill':>9} "
              f"{'peak MiB':>9} {'x wall':>7} {'x':>7} {'h/350,000':>9}")  # fmt: skip
        ways = {
            "shared prefix (ours)": lambda new=new: shared(model, papers, new, True, options.budget),
            "(b) generate, 3 return sequences": lambda new=new: returned(model, papers, new, True),
            "(a) fifteen separate generate": lambda new=new: separate(model, papers, new, True, 1),
            "(c) continuous batching": lambda new=new: batched(model, papers, new, False),
            "(c) the same, prompt by prompt": lambda new=new: batched(model, papers, new, True),
        }
        ways = {name: way for name, way in ways.items() if name[:3] not in [f"({way})" for way in options.without]}
        measured = {name: measure(model, options.device, way) for name, way in ways.items()}
        for name, result in measured.items():
            show(name, result, measured["shared prefix (ours)"], options.papers)
    if options.check:
        with torch.inference_mode():
            ours = shared(model, papers, 16, False, options.budget)
            plain = separate(model, papers, 16, False, 1)
        print(f"\ngreedy outputs equal: {sum(map(list.__eq__, ours, plain))} of {len(ours)}")
    print(
        f"largest resident size of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB"
    )


if __name__ == "__main__":
    main()
