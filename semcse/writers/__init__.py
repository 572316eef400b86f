"""Who writes summaries and queries: bundled, from a file, taken from the abstract, or a language model."""

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
]
