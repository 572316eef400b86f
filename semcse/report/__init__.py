"""Reports: one HTML file about a run or a sweep."""

from semcse.report.pages import write_report

__all__ = ["write_report"]
