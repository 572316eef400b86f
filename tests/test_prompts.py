"""The prompts are those of A.2, and a text composed from them can be taken apart again."""

import pytest

from semcse.prompts import PROMPTS, continuation_prompt, query_message, split_continuation_prompt

PAPER = {"corpus_id": 1, "title": "A title ", "abstract": "We did it.\n\nIt worked. "}


def test_wording_and_order_are_those_of_the_paper() -> None:
    assert list(PROMPTS.values()) == [
        "To summarize, the key findings of our research, stated in one sentence that includes all relevant "
        "information, are that",
        "In summary, our research is concerned with",
        "In summary, a comprehensive and detailed conclusive statement would be that",
        "A comprehensive summary for our work would be that",
        "The main takeaway from our work is that",
    ]


@pytest.mark.parametrize("key", PROMPTS)
def test_composed_text_comes_apart(key: str) -> None:
    text = continuation_prompt(PAPER, PROMPTS[key])
    assert text.startswith("A title\n\nWe did it.\n\nIt worked. ")
    assert split_continuation_prompt(text) == ("A title", "We did it.\n\nIt worked.", key)


@pytest.mark.parametrize("text", ["title\n\nabstract and no prompt", f"no empty line {PROMPTS['takeaway']}"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected title, empty line, abstract"):
        split_continuation_prompt(text)


def test_query_message_survives_braces_in_the_texts() -> None:
    paper = {"title": "On {sets}", "abstract": "We study {abstract} sets."}
    assert query_message(paper).endswith("Title: On {sets}\n\nAbstract: We study {abstract} sets.")
