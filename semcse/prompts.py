"""The texts given to the language model: five continuation prompts (A.2) and the query instruction (ours)."""

from collections.abc import Mapping
from typing import Any

PROMPTS: dict[str, str] = {
    "findings": "To summarize, the key findings of our research, stated in one sentence that includes all "
    "relevant information, are that",
    "concern": "In summary, our research is concerned with",
    "conclusion": "In summary, a comprehensive and detailed conclusive statement would be that",
    "comprehensive": "A comprehensive summary for our work would be that",
    "takeaway": "The main takeaway from our work is that",
}
"""Appended to the abstract and continued by a base model; keys are ours, wording and order are A.2's."""

QUERY_PROMPT = (
    "Below are the title and the abstract of a scientific paper. Write the one query that a researcher who does not "
    "know the paper would type into a search engine to find exactly this work. Say what the work is about in your "
    "own words, in 5 to 15 words, and do not repeat the title. Answer with the query alone.\n\n"
    "Title: {title}\n\nAbstract: {abstract}"
)
"""Instruction for the query-matching task (section 5.2). The paper does not print its own; this one is ours."""


def shared_beginning(paper: Mapping[str, Any]) -> str:
    """Title, an empty line, abstract: the beginning that all prompts of a paper share ("concatenating", 4.1)."""
    return f"{paper['title'].strip()}\n\n{paper['abstract'].strip()}"


def continuation_prompt(paper: Mapping[str, Any], prompt: str) -> str:
    """The text that a base model continues: title, abstract, then the prompt in the same paragraph."""
    return f"{shared_beginning(paper)} {prompt}"


def query_message(paper: Mapping[str, Any], prompt: str = QUERY_PROMPT) -> str:
    """The message to an instruction model; `prompt` has the places `{title}` and `{abstract}`."""
    return prompt.replace("{title}", paper["title"].strip()).replace("{abstract}", paper["abstract"].strip())


def split_continuation_prompt(text: str, prompts: Mapping[str, str] = PROMPTS) -> tuple[str, str, str]:
    """The inverse of `continuation_prompt`: title, abstract and the key of the prompt.

    Raises ValueError when the text does not end in one of the prompts or has no title above the abstract.
    """
    for key, prompt in prompts.items():
        head, found, rest = text.rpartition(f" {prompt}")
        if found and not rest:
            title, blank, abstract = head.partition("\n\n")
            if blank:
                return title, abstract, key
    raise ValueError(
        f"expected title, empty line, abstract and one of the prompts {list(prompts)} at the end, got ...{text[-80:]!r}"
    )
