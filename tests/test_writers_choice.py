"""Each parameter of the summary stage reaches the writer that it is meant for."""

from pathlib import Path

import pytest
from tiny_llama import tiny_model, tiny_tokenizer

from semcse.schema import Summaries
from semcse.writers import DemoWriter, ExtractiveWriter
from semcse.writers.base import Decoding
from semcse.writers.choice import make_query_writer, make_summary_writer
from semcse.writers.in_process import TransformersWriter

VALUES = {"temperature": 0.3, "top_p": 0.8, "max_new_tokens": 7, "query_writer": "none"}
DECODING = Decoding(temperature=0.3, top_p=0.8, max_new_tokens=7)


def test_server() -> None:
    openai_server = pytest.importorskip("semcse.writers.openai_server")
    given = VALUES | {
        "writer": "openai",
        "query_writer": "openai",
        "base_url": "http://localhost:1/v1",
        "model": "base",
    }
    settings = Summaries(**given, query_model="chat", concurrency=5, timeout=9.0)
    writer, queries = make_summary_writer(settings, []), make_query_writer(settings, [])
    assert isinstance(writer, openai_server.OpenAIWriter)
    assert (writer.model, writer.base_url, writer.decoding) == ("base", "http://localhost:1/v1", DECODING)
    assert (writer.concurrency, writer.client.timeout) == (5, 9.0)
    assert queries is not None
    assert (queries.model, queries.settings["chat"]) == ("chat", True)


def test_model_in_this_process(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    settings = Summaries(**VALUES, writer="transformers", model=str(tmp_path), batch_tokens=777)
    writer = make_summary_writer(settings, [])
    assert isinstance(writer, TransformersWriter)
    assert (writer.decoding, writer.batch_tokens) == (DECODING, 777)
    assert writer.settings == {
        "model": str(tmp_path),
        "chat": False,
        "temperature": 0.3,
        "top_p": 0.8,
        "max_new_tokens": 7,
    }


def test_writers_without_a_model() -> None:
    assert isinstance(make_summary_writer(Summaries(**VALUES, writer="demo"), []), DemoWriter)
    assert isinstance(make_summary_writer(Summaries(**VALUES, writer="extractive"), []), ExtractiveWriter)
    assert make_query_writer(Summaries(**VALUES, writer="demo"), []) is None
