"""What somebody sees who runs a notebook: tables of texts, progress bars."""

import os
import sys
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

LEFT = [("text-align", "left"), ("vertical-align", "top")]


def reading_table(frame: pd.DataFrame) -> Styler:
    """A table to be read: texts in full, to the left and escaped; numbers with two digits; no index."""
    table = frame.reset_index(drop=True).style.hide(axis="index").format(precision=2, na_rep="–", escape="html")
    texts = frame.columns.difference(frame.select_dtypes("number").columns)
    left: dict[Any, Any] = {column: [{"selector": place, "props": LEFT} for place in ("th", "td")] for column in texts}
    return table.set_table_styles(left)


def bar_options(shown: bool = True) -> dict[str, Any]:
    """Options of a tqdm bar: drawn on a terminal and below the cell of an open notebook, silent in logs.

    A notebook that papermill executes is not open: nobody watches, and its copy would keep what the bar wrote.
    """
    if shown and "JPY_SESSION_NAME" in os.environ:  # which Jupyter's server gives to the kernel of an open notebook
        return {"file": sys.stdout, "mininterval": 0.5}
    return {"disable": None if shown else True}
