"""Sentences and halves."""

import pytest

from semcse.sentences import halves, split_sentences


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("  \n ", 0),
        ("One only.", 1),
        ("No end", 1),
        ("First here. Second there! Third?", 3),
        ("The mean rose to 3.5 from 2.1 (p < 0.05). It fell later.", 2),
        ("See Smith et al. for it. We do it again.", 2),
        ("We use several methods, e.g. clustering. Then we stop.", 2),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, count):
    sentences = split_sentences(text)
    assert len(sentences) == count
    assert "".join(sentences).replace(" ", "") == text.replace(" ", "").strip()


def test_halves_keep_every_sentence_and_put_the_middle_one_first():
    assert halves("A one. B two. C three.") == ("A one. B two.", "C three.")
    assert halves("A one. B two.") == ("A one.", "B two.")


def test_one_sentence_has_no_halves():
    with pytest.raises(ValueError, match="two sentences"):
        halves("Just one sentence.")
