"""The server writer against a real `transformers serve` process on loopback with a tiny local model."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tiny_llama import tiny_model, tiny_tokenizer

from semcse.cleaning import Rules
from semcse.prompts import PROMPTS, continuation_prompt
from semcse.queries import generate_queries
from semcse.readers import DataError
from semcse.summaries import generate_summaries, load_summaries
from semcse.writers import Request
from semcse.writers.base import Decoding

missing = [name for name in ("openai", "fastapi", "uvicorn") if find_spec(name) is None]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing), reason=f"transformers serve needs {missing}")]

ANYTHING = Rules(min_words=0, max_words=10_000, sentence_end=False, forbid_abstract=False)
PAPERS = [
    {"corpus_id": number, "title": f"Title {number}", "abstract": "We grow cells in mice. " * (number + 1)}
    for number in range(4)
]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


class Server:
    """`transformers serve` on a free port, which can be killed and started again."""

    def __init__(self, model: Path) -> None:
        self.model = str(model)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, pinned: bool) -> None:
        """`pinned`: with the model on the command line, as the only one; else requests name what is to be loaded."""
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve", *([self.model] if pinned else [])]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--device", "cpu", "--log-level", "error"]
        quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": f"{self.model}/nothing-cached"}
        self.process = subprocess.Popen(
            command, env={**os.environ, **quiet}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self, seconds: float = 120) -> None:
        for _ in range(int(seconds / 0.1)):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).read()
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert self.process is not None
                assert self.process.poll() is None, "transformers serve ended"
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(f"transformers serve did not answer within {seconds} s")

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("model")
    model, tokenizer = tiny_model(), tiny_tokenizer()
    model.generation_config.do_sample = True  # the server samples only where the model's own settings say so
    model.save_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    found = Server(folder)
    found.start(pinned=False)
    yield found
    found.signal(signal.SIGKILL)


def writer(server: Server, model: str | None = None, **options: Any) -> Any:
    from semcse.writers.openai_server import OpenAIWriter

    options = {"decoding": Decoding(temperature=1.0, max_new_tokens=12), "timeout": 60.0, "retries": 20, **options}
    return OpenAIWriter(model or server.model, server.url, **options)


def write(server: Server, folder: Path, **options: Any) -> Any:
    return generate_summaries(PAPERS, writer(server, **options), folder, shard_size=1, redraws=3, rules=ANYTHING)


def test_server_that_starts_is_killed_and_comes_back(server: Server, tmp_path: Path) -> None:
    """The job starts before the server answers, and outlives its death after two shards."""
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(write, server, tmp_path)
        while len(list(tmp_path.glob("shard-*.parquet"))) < 2:
            assert not job.done() or job.result()
            time.sleep(0.01)
        server.signal(signal.SIGKILL)
        assert not job.done()
        server.start(pinned=True)
        report = job.result(timeout=180)
    rows = load_summaries(tmp_path)
    assert (report.shards, report.written) == (4, 4)
    assert len(rows) + report.unfilled == len(PAPERS) * len(PROMPTS) * 3
    assert report.unfilled < 5
    assert not rows.duplicated(["corpus_id", "prompt", "draw"]).any()
    assert rows["tokens"].between(1, 12).all()


def test_server_that_stays_away(server: Server, tmp_path: Path) -> None:
    """The job stops with a message, and goes on when it is started again."""
    server.wait()
    other = Server(Path(server.model))
    with pytest.raises(DataError, match=r"no answer after 1 retries .*Start it and run again; the job continues"):
        write(other, tmp_path, retries=1)
    assert write(server, tmp_path).written == 4


def test_slow_server(server: Server) -> None:
    """A request that takes too long is given up and sent again; when the server moves on, the answer comes."""
    server.wait()
    requests = [Request(PAPERS[0], "findings", continuation_prompt(PAPERS[0], PROMPTS["findings"]), seed=3)]
    server.signal(signal.SIGSTOP)
    timer = threading.Timer(2.5, server.signal, [signal.SIGCONT])
    timer.start()
    begin = time.perf_counter()
    answers = writer(server, timeout=1.0).continuations(requests)
    assert time.perf_counter() - begin > 2
    assert answers[0].tokens > 0
    server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(DataError, match=r"no answer after 1 retries \(Request timed out"):
            writer(server, timeout=0.3, retries=1).continuations(requests)
    finally:
        server.signal(signal.SIGCONT)


def test_wrong_model_name(server: Server, tmp_path: Path) -> None:
    server.wait()
    with pytest.raises(DataError, match=r"request refused with status (400 .*pinned to|500 .*Can it load 'no/such')"):
        write(server, tmp_path, model="no/such", retries=1)
    assert not list(tmp_path.glob("shard-*"))


def test_chat_writes_queries(server: Server, tmp_path: Path) -> None:
    server.wait()
    chat = writer(server, decoding=Decoding(temperature=1.0, max_new_tokens=12, chat=True))
    report = generate_queries(PAPERS, chat, tmp_path, rules=ANYTHING)
    assert report.rows + report.unfilled == len(PAPERS)
    assert report.rows > len(PAPERS) / 2


def test_one_request_at_a_time_heeds_the_seed(server: Server) -> None:
    server.wait()
    requests = [
        Request(PAPERS[1], key, continuation_prompt(PAPERS[1], prompt), draw, 10 * draw + place)
        for place, (key, prompt) in enumerate(PROMPTS.items())
        for draw in range(3)
    ]
    one = writer(server, concurrency=1)
    texts = [one.continuations(requests) for _ in range(2)]
    assert texts[0] == texts[1]
    assert len({answer.text for answer in texts[0]}) > 10
