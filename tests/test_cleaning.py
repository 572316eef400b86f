"""Reasons for rejecting a text, one row each, and where a continuation is cut."""

from typing import Any

import pytest

from semcse.cleaning import Rules, canonical, reject_reason, tidy
from semcse.prompts import PROMPTS
from semcse.sentences import first_sentence

ABSTRACT = "We grow cells (in vitro). They grow faster than expected, by 3.5 percent."


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("cells grow faster when they are fed.", {}, None),
        ("", {}, "empty"),
        (" .,!", {}, "empty"),
        ("cells grow \ufffd well today.", {}, "non_printable"),
        ("cells grow \x07 well today.", {}, "non_printable"),
        ("cells grow.", {}, "too_short"),
        ("word " * 121, {}, "too_long"),
        ("cells grow faster when", {"finish_reason": "length"}, "cut_off"),
        ("cells grow faster.", {"finish_reason": "length"}, None),
        ("cells grow faster when", {"finish_reason": "stop"}, None),
        ("In summary, our research is concerned with the growth of cells.", {}, "repeats_prompt"),
        ("they grow FASTER than expected, by 3.5 percent!", {}, "copies_abstract"),
        ("they grow faster than expected, by 3 percent.", {}, None),
        ("growth of cells in dishes", {"rules": Rules(forbid_title=True)}, "copies_title"),
        ("growth of cells in dishes", {}, None),
        ("Cells grow, faster!", {"others": {"cells grow faster"}}, "repeats_draw"),
    ],
)
def test_reasons(text: str, options: dict[str, Any], reason: str | None) -> None:
    given = {"title": "Growth of cells", "abstract": ABSTRACT, "prompts": PROMPTS.values(), **options}
    assert reject_reason(text, **given) == reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  two\n lines ", "two lines"),
        ('"quoted text"', "quoted text"),
        ("e\u0301t\u00e9", "\u00e9t\u00e9"),
        ('a "word"', 'a "word"'),
    ],
)
def test_tidy(text: str, expected: str) -> None:
    assert tidy(text) == expected


def test_canonical_ignores_case_and_punctuation() -> None:
    assert canonical("Größe_of  X-rays (3.5)!") == "grösse of x rays 3 5"


@pytest.mark.parametrize(
    ("text", "sentence", "complete"),
    [
        ("cells grow. Then they", "cells grow.", True),
        ("in mammals, e.g. mice, it holds. Also", "in mammals, e.g. mice, it holds.", True),
        ("as Smith et al. (2010) found. We", "as Smith et al. (2010) found.", True),
        ("as Smith et al. In mice", "as Smith et al. In mice", False),
        ("a value of 3.5 was found. It", "a value of 3.5 was found.", True),
        ("by Eq. (2) it holds! So", "by Eq. (2) it holds!", True),
        ("is it so? Yes", "is it so?", True),
        ("cells grow.", "cells grow.", False),
        ("cells grow", "cells grow", False),
        ("\n\n cells grow.\nNext", "cells grow.", True),
        ("", "", False),
    ],
)
def test_first_sentence(text: str, sentence: str, complete: bool) -> None:
    assert first_sentence(text) == (sentence, complete)
