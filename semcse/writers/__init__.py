"""Who writes summaries and queries: bundled, from a file, taken from the abstract, or a language model."""

from typing import Any

from semcse.writers.base import Continuation, PlainWriter, Request, Writer, as_writer
from semcse.writers.extractive import ExtractiveWriter
from semcse.writers.in_process import TransformersWriter
from semcse.writers.ready import DemoWriter, FileWriter

__all__ = [
    "Continuation",
    "DemoWriter",
    "ExtractiveWriter",
    "FileWriter",
    "PlainWriter",
    "Request",
    "TransformersWriter",
    "Writer",
    "as_writer",
    "make_writer",
]


def make_writer(kind: str, **options: Any) -> Writer:
    """The writer of a kind: "demo", "file", "extractive", "transformers" or "openai", with the options of its class.

    Only "openai" needs the package openai (`pip install semcse[openai]`). Raises ValueError for another kind.
    """
    if kind == "openai":
        from semcse.writers.openai_server import OpenAIWriter

        return OpenAIWriter(**options)
    kinds: dict[str, type[Writer]] = {
        "demo": DemoWriter,
        "file": FileWriter,
        "extractive": ExtractiveWriter,
        "transformers": TransformersWriter,
    }
    if kind not in kinds:
        raise ValueError(f"expected a writer among {[*kinds, 'openai']}, got {kind!r}")
    return kinds[kind](**options)
