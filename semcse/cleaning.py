"""What a stored continuation must satisfy, and the reason when it does not."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

REASONS = (
    "empty",
    "non_printable",
    "too_short",
    "too_long",
    "cut_off",
    "repeats_prompt",
    "copies_abstract",
    "copies_title",
    "repeats_draw",
)
"""Reject reasons in the order in which they are looked for; the first that applies is the one counted."""


@dataclass(frozen=True)
class Rules:
    """Limits of acceptance, all ours: the paper states none.

    `min_words`, `max_words` count words separated by white space. The switches turn single reasons off, for writers
    for which they make no sense (a sentence taken from the abstract copies it by design).
    """

    min_words: int = 3
    max_words: int = 120
    sentence_end: bool = True
    forbid_abstract: bool = True
    forbid_title: bool = False


def tidy(text: str) -> str:
    """One line, single spaces, no enclosing quotation marks, Unicode NFC, U+FFFD for what no encoding can write."""
    text = " ".join(unicodedata.normalize("NFC", without_surrogates(text)).split())
    if len(text) > 1 and text[0] + text[-1] in ('""', "“”", "''"):
        text = text[1:-1].strip()
    return text


def without_surrogates(text: str) -> str:
    """The text with U+FFFD in place of lone surrogates, which JSON can spell and UTF-8 cannot; pairs are joined."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def canonical(text: str) -> str:
    """Letters and digits in lower case, words separated by one space: equal means "the same text" everywhere here."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def contains(text: str, part: str) -> bool:
    """Whether the words of `part` occur in `text` one after the other, ignoring case and punctuation."""
    part = canonical(part)
    return bool(part) and f" {part} " in f" {canonical(text)} "


def ends_sentence(text: str) -> bool:
    """Whether the text ends in a full stop, question or exclamation mark, quotation marks and brackets apart."""
    return text.rstrip("\"'”’)]").endswith((".", "!", "?"))


def reject_reason(
    text: str,
    *,
    title: str,
    abstract: str,
    finish_reason: str = "stop",
    prompts: Collection[str] = (),
    others: Collection[str] = (),
    rules: Rules = Rules(),
) -> str | None:
    """Why a tidied continuation is not accepted, one of REASONS, or None when it is.

    `finish_reason` "length" says that the writer ran into its token limit; `prompts` are the texts that it must not
    repeat; `others` are the texts accepted for the same paper so far, in their `canonical` form.
    """
    words = len(text.split())
    limited = rules.sentence_end and finish_reason == "length" and not ends_sentence(text)
    checks = {
        "empty": not canonical(text),
        "non_printable": "\ufffd" in text or not text.isprintable(),
        "too_short": words < rules.min_words and not limited,
        "too_long": words > rules.max_words and not limited,
        "cut_off": limited,
        "repeats_prompt": any(contains(text, prompt) for prompt in prompts),
        "copies_abstract": rules.forbid_abstract and contains(abstract, text),
        "copies_title": rules.forbid_title and contains(text, title),
        "repeats_draw": canonical(text) in others,
    }
    return next((reason for reason in REASONS if checks[reason]), None)
