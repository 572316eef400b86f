"""Who writes summaries and queries: bundled, from a file, taken from the abstract, or a language model.

`in_process` and `openai_server` are not imported here: they load torch and the client of the server.
"""

from semcse.writers.base import Continuation, PlainWriter, Request, Writer, as_writer
from semcse.writers.extractive import ExtractiveWriter
from semcse.writers.ready import DemoWriter, FileWriter

__all__ = [
    "Continuation",
    "DemoWriter",
    "ExtractiveWriter",
    "FileWriter",
    "PlainWriter",
    "Request",
    "Writer",
    "as_writer",
]
