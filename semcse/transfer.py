"""The benchmark across domains: the same tasks in pools of equal size, one for each source or field.

The paper believes its method to be broadly applicable (section 3) and tests it on scientific abstracts only.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from semcse.benchmark import Encode, Paper, Result, abstract_segments, title_abstract
from semcse.matching import Metric
from semcse.papers import load_papers, normalised_title
from semcse.schema import Benchmarks
from semcse.splits import Splits

MOST_DOMAINS = 12
"""Domains compared at most, the largest ones."""
FEWEST_PAPERS = 5
"""A smaller domain is left out unless the parameters ask for it."""


def equal_pools(
    papers: Iterable[Paper], key: str = "source", size: int | None = None, seed: int = 0, most: int | None = None
) -> tuple[dict[str, list[Paper]], dict[str, int]]:
    """Papers by their value of `key`, the same number of each, and the groups left out with their sizes.

    A mean rank grows with its pool, so domains compare only in pools of one size: `size`, or that of the smallest
    group. Groups below `size`, those beyond the `most` largest, and papers without a value ("none") are left out. The
    draw is a function of `seed`. Raises ValueError where fewer than two papers a pool or no pool would remain.
    """
    groups: dict[str, list[Paper]] = {}
    left_out: dict[str, int] = {}
    for paper in papers:
        value = paper.get(key)
        if pd.isna(value):
            left_out["none"] = left_out.get("none", 0) + 1
        else:
            groups.setdefault(str(value), []).append(paper)
    if most is not None:
        largest = sorted(groups, key=lambda name: -len(groups[name]))[:most]
        left_out |= {name: len(members) for name, members in groups.items() if name not in largest}
        groups = {name: members for name, members in groups.items() if name in largest}
    wanted = min(map(len, groups.values()), default=0) if size is None else size
    left_out |= {name: len(members) for name, members in groups.items() if len(members) < wanted}
    kept = {name: members for name, members in groups.items() if len(members) >= wanted}
    if wanted < 2 or not kept:
        found = ", ".join(f"{name}: {len(members)}" for name, members in groups.items())
        raise ValueError(f"no pools of {max(wanted, 2)} papers by {key!r} can be drawn from {found or 'no papers'}")
    random = np.random.default_rng(seed)
    return {name: [m[i] for i in sorted(random.permutation(len(m))[:wanted])] for name, m in kept.items()}, left_out


def domain_pools(splits: Splits, settings: Benchmarks, seed: int = 0) -> dict[str, list[Paper]]:
    """Pools of equal size of the benchmark papers and those of the transfer corpus; empty below two domains.

    Without `domain_papers` the pools are as large as the smallest of the twelve largest domains with five or more.
    Papers of the transfer corpus that trained or validated, by id or title, are left out, as are unusable ones.
    """
    papers: list[Paper] = list(splits.benchmark)
    if settings.transfer:
        known = [*splits.training, *splits.validation, *papers]
        seen = {paper["corpus_id"] for paper in known}
        titles = {normalised_title(paper["title"]) for paper in known}
        more = load_papers("file", settings.transfer, invalid="drop")
        papers += [p for p in more if p["corpus_id"] not in seen and normalised_title(p["title"]) not in titles]
    sizes = pd.Series([paper[settings.domains] for paper in papers], dtype=object).value_counts()
    large = sizes[sizes >= (settings.domain_papers or FEWEST_PAPERS)].head(MOST_DOMAINS)
    if len(large) < 2:
        return {}
    return equal_pools(papers, settings.domains, settings.domain_papers or int(large.min()), seed, MOST_DOMAINS)[0]


def across_domains(
    encode: Encode, pools: Mapping[str, Sequence[Paper]], metric: Metric = "euclidean", **bootstrap: int
) -> dict[str, dict[str, Result]]:
    """Records of title-abstract and segments matching by domain; further keyword arguments go to the bootstrap."""
    return {
        domain: {
            "title_abstract": title_abstract(encode, papers, metric, **bootstrap),
            "abstract_segments": abstract_segments(encode, papers, metric, **bootstrap),
        }
        for domain, papers in pools.items()
    }


def domain_table(results: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> pd.DataFrame:
    """Rows (model, domain, task) with mean rank, interval and pool size, from the records by model and domain."""
    rows = [
        {
            "model": model,
            "domain": domain,
            "task": task,
            "mean_rank": record["mean_rank"],
            "low": record["mean_rank_interval"][0],
            "high": record["mean_rank_interval"][1],
            "pool": record["candidates"],
        }
        for model, domains in results.items()
        for domain, tasks in domains.items()
        for task, record in tasks.items()
    ]
    return pd.DataFrame(rows, columns=["model", "domain", "task", "mean_rank", "low", "high", "pool"])
