"""Abstracts as sentences, and as halves for the segments task (section 5.2)."""

import sentencex


def split_sentences(text: str) -> list[str]:
    """Sentences of an English text in order, stripped; an empty text has none."""
    return [stripped for part in sentencex.segment("en", text) if (stripped := part.strip())]


def halves(text: str) -> tuple[str, str]:
    """Two consecutive halves by sentence count; with an odd count the middle sentence belongs to the first half.

    The paper does not state the rule ("two halves of the same abstract"); this one is ours.
    Raises ValueError for a text of fewer than two sentences, which has no second half.
    """
    sentences = split_sentences(text)
    if len(sentences) < 2:
        raise ValueError(f"expected at least two sentences to halve, got {len(sentences)}: {text[:80]!r}")
    middle = (len(sentences) + 1) // 2
    return " ".join(sentences[:middle]), " ".join(sentences[middle:])


ABBREVIATIONS = frozenset(
    {
        "al",
        "approx",
        "ca",
        "cf",
        "eq",
        "eqs",
        "fig",
        "figs",
        "no",
        "nos",
        "ref",
        "refs",
        "resp",
        "sec",
        "sect",
        "sp",
        "spp",
        "ssp",
        "subsp",
        "tab",
        "temp",
        "var",
        "vs",
    }
)
"""Never the end of a continuation, even before a capital letter; the splitter knows more, for the other cases."""


def first_sentence(text: str) -> tuple[str, bool]:
    """The first sentence of a continuation, and whether the text goes on after it, so that it is complete.

    A blank start is passed over; a line break ends the sentence like a paragraph. A full stop does not end it within
    a number, after an abbreviation ("e.g.", "et al."), or before a small letter.
    """
    line, line_break, _ = text.lstrip().partition("\n")
    parts = list(sentencex.segment("en", line))
    end = 0
    for part, following in zip(parts, [*parts, ""][1:], strict=True):
        end += len(part)
        words = part.split()
        last = words[-1].strip("([").rstrip(".").lower() if words else ""
        if following.strip() and last not in ABBREVIATIONS and not following.lstrip()[0].islower():
            return line[:end].strip(), True
    return line.strip(), bool(line_break)
