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
