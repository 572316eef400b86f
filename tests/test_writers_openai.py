"""The server writer against a stand-in server on loopback: order, retries, timeouts, errors."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from semcse.prompts import PROMPTS, continuation_prompt
from semcse.queries import generate_queries, load_queries
from semcse.readers import DataError
from semcse.summaries import generate_summaries, load_summaries
from semcse.writers import Request
from semcse.writers.base import Decoding

openai_server = pytest.importorskip("semcse.writers.openai_server")

PAPERS = [
    {"corpus_id": number, "title": f"Title {number}", "abstract": f"Abstract {number} says it."} for number in range(3)
]


class StandIn(ThreadingHTTPServer):
    """Answers completions; `plan` holds what to do with the next requests: fail with a status, or sleep for seconds."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.plan: list[int | float] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.heeds_n = True
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: Any) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "tiny", "object": "model", "created": 0, "owned_by": "us"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(body)
            self.server.keys.append(self.headers["Authorization"])
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
            step = self.server.plan.pop(0) if self.server.plan else 0.01
        if isinstance(step, float):
            time.sleep(step)
        with self.server.lock:
            self.server.at_once -= 1
        if isinstance(step, int):
            self._send(step, {"error": {"message": f"status {step} was planned"}})
        elif body["model"] != "tiny":
            self._send(404, {"error": {"message": "unknown model"}})
        else:
            self._send(200, self._answer(body))

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        count = body.get("n", 1) if self.server.heeds_n else 1
        texts = [f" seed {body['seed']}, e.g. choice {k} it is. And more follows" for k in range(count)]
        usage = {"prompt_tokens": 9, "completion_tokens": 8 * count, "total_tokens": 9 + 8 * count}
        if "messages" in body:
            choices = [
                {"index": k, "finish_reason": "stop", "message": {"role": "assistant", "content": f"a query {k}"}}
                for k in range(count)
            ]
            return {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "tiny",
                "choices": choices,
                "usage": usage,
            }
        choices = [{"index": k, "text": text, "finish_reason": "length"} for k, text in enumerate(texts)]
        return {
            "id": "x",
            "object": "text_completion",
            "created": 0,
            "model": "tiny",
            "choices": choices,
            "usage": usage,
        }

    def _send(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("retry-after-ms", "5")
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            """The client gave up waiting, as the test for slow servers wants it."""


@pytest.fixture
def server() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.stop()


def writer(server: StandIn, model: str = "tiny", **options: Any) -> Any:
    return openai_server.OpenAIWriter(model, server.url, **{"timeout": 20.0, **options})


@pytest.mark.parametrize("heeds_n", [True, False])
def test_all_continuations_come_in_order(server: StandIn, tmp_path: Path, heeds_n: bool) -> None:
    server.heeds_n = heeds_n
    report = generate_summaries(PAPERS, writer(server), tmp_path, draws=3)
    rows = load_summaries(tmp_path)
    assert (len(rows), report.unfilled) == (45, 0)
    assert set(rows["finish_reason"]) == {"sentence"}
    assert rows["tokens"].tolist() == [8] * 45
    expected = [row.seed % 2**31 for row in rows.itertuples() if not heeds_n or row.draw == 0]
    assert sorted(body["seed"] for body in server.asked) == sorted(expected)
    assert rows["text"].str.fullmatch(r"seed \d+, e\.g\. choice \d it is\.").all()


def test_prompts_of_a_paper_follow_each_other(server: StandIn) -> None:
    requests = [Request(PAPERS[0], key, continuation_prompt(PAPERS[0], text)) for key, text in PROMPTS.items()]
    writer(server, concurrency=8).continuations(requests)
    assert [body["prompt"] for body in server.asked] == [request.text for request in requests]
    assert server.most_at_once == 1


def test_concurrency_is_bounded(server: StandIn) -> None:
    requests = [Request({"corpus_id": number}, "", f"text {number}") for number in range(12)]
    server.plan = [0.05] * 12
    writer(server, concurrency=3).continuations(requests)
    assert 1 < server.most_at_once <= 3


def test_what_is_sent(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    asked = writer(server, decoding=Decoding(temperature=0.3, top_p=0.8, max_new_tokens=7))
    asked.continuations([Request(PAPERS[0], "", "text", seed=11)])
    wanted = {"model": "tiny", "prompt": "text", "temperature": 0.3, "top_p": 0.8, "max_tokens": 7, "seed": 11}
    assert wanted.items() <= server.asked[0].items()
    assert server.keys == ["Bearer secret"]
    assert "secret" not in json.dumps(asked.settings)


@pytest.mark.parametrize("plan", [[429, 503, 500], [1.5]], ids=["refusals", "slow"])
def test_failures_that_pass_are_retried(server: StandIn, plan: list[int | float]) -> None:
    server.plan = list(plan)
    answers = writer(server, timeout=0.5).continuations([Request(PAPERS[0], "", "text", seed=4)])
    assert answers[0].text == "seed 4, e.g. choice 0 it is."
    assert len(server.asked) == len(plan) + 1


def test_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    """The job waits through a short absence; through a long one it stops, and goes on when it is started again."""
    first = StandIn()
    port = first.server_address[1]
    generate_summaries(PAPERS[:1], writer(first), tmp_path / "a")
    first.stop()
    with pytest.raises(DataError, match=r"no answer after 0 retries .*Is the server up"):
        generate_summaries(PAPERS, writer(first, retries=0), tmp_path / "b", shard_size=1)
    timer = threading.Timer(0.7, lambda: returned.append(StandIn(port)))
    returned: list[StandIn] = []
    timer.start()
    assert generate_summaries(PAPERS, writer(first), tmp_path / "b", shard_size=1).rows == 45
    returned[0].stop()


@pytest.mark.parametrize(
    ("model", "plan", "message"),
    [
        ("huge", [], r"no model 'huge' there \(.*unknown model.*\)\. It has tiny"),
        ("tiny", [400], "request refused with status 400"),
        ("tiny", [503] * 3, r"request refused with status 503 .*Can it load 'tiny'\? It lists tiny\."),
    ],
)
def test_failures_that_stay(server: StandIn, model: str, plan: list[int | float], message: str) -> None:
    server.plan = list(plan)
    with pytest.raises(DataError, match=message):
        writer(server, model, retries=2).continuations([Request(PAPERS[0], "", "text")])


def test_chat_writes_queries(server: StandIn, tmp_path: Path) -> None:
    generate_queries(PAPERS, writer(server, decoding=Decoding(chat=True)), tmp_path)
    assert load_queries(tmp_path, PAPERS) == {0: "a query 0", 1: "a query 0", 2: "a query 0"}
    messages = sorted(body["messages"][0]["content"] for body in server.asked)
    assert [message.split("Title: ")[1] for message in messages] == [
        f"Title {k}\n\nAbstract: Abstract {k} says it." for k in range(3)
    ]
