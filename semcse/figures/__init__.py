"""Every picture of the study: one function a figure, plain data in, a matplotlib figure out, one style for all.

A figure shows itself in a notebook; `save` writes it as PDF and PNG. Widths are those of a printed column and
page.
"""

from semcse.figures.benchmark import (
    domain_comparison,
    field_confusion,
    model_comparison,
    neighbour_fields,
    rank_histograms,
)
from semcse.figures.corpus import abstract_lengths, paper_counts
from semcse.figures.scirepeval import table_residuals, task_differences
from semcse.figures.space import alignment_uniformity, explained_variance_curves, tsne_panels
from semcse.figures.style import COLUMN, PAGE, save
from semcse.figures.summaries import (
    summary_copying,
    summary_lengths,
    summary_overlap,
    summary_precision,
    summary_rejects,
    summary_similarity,
    summary_variety,
)
from semcse.figures.training import score_against_size, training_curves

__all__ = [
    "COLUMN",
    "PAGE",
    "abstract_lengths",
    "alignment_uniformity",
    "domain_comparison",
    "explained_variance_curves",
    "field_confusion",
    "model_comparison",
    "neighbour_fields",
    "paper_counts",
    "rank_histograms",
    "save",
    "score_against_size",
    "summary_copying",
    "summary_lengths",
    "summary_overlap",
    "summary_precision",
    "summary_rejects",
    "summary_similarity",
    "summary_variety",
    "table_residuals",
    "task_differences",
    "training_curves",
    "tsne_panels",
]
