"""The writers that a parameter section asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from semcse.models import resolve
from semcse.readers import DataError
from semcse.schema import Summaries
from semcse.writers.base import Decoding, Writer
from semcse.writers.extractive import ExtractiveWriter
from semcse.writers.in_process import TransformersWriter
from semcse.writers.ready import DemoWriter, FileWriter

Papers = Iterable[Mapping[str, Any]]


def make_summary_writer(settings: Summaries, corpus: Papers) -> Writer:
    """Who writes the summaries; `corpus` are all papers that a file of ready-made ones may speak of."""
    return _writer(settings.writer, settings.path, settings.model, settings, corpus, chat=False)


def make_query_writer(settings: Summaries, corpus: Papers) -> Writer | None:
    """Who writes the queries; None where there are to be none."""
    if settings.query_writer == "none":
        return None
    return _writer(settings.query_writer, settings.query_path, settings.query_model, settings, corpus, chat=True)


def _writer(kind: str, path: str | None, model: str, settings: Summaries, corpus: Papers, chat: bool) -> Writer:
    if kind == "demo":
        return DemoWriter()
    if kind == "file":
        return FileWriter(str(path), corpus=corpus)
    if kind == "extractive":
        return ExtractiveWriter()
    decoding = Decoding(
        temperature=settings.temperature, top_p=settings.top_p, max_new_tokens=settings.max_new_tokens, chat=chat
    )
    if kind == "openai":
        return _server_writer(model, settings, decoding)
    return TransformersWriter(resolve(model), decoding=decoding, batch_tokens=settings.batch_tokens)


def _server_writer(model: str, settings: Summaries, decoding: Decoding) -> Writer:
    try:
        from semcse.writers.openai_server import OpenAIWriter
    except ImportError as error:
        raise DataError("the openai writer needs the package openai: pip install 'semcse[openai]'") from error
    return OpenAIWriter(
        model,
        str(settings.base_url),
        decoding=decoding,
        concurrency=settings.concurrency,
        timeout=settings.timeout,
    )
