"""Arrays as files."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_array(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write an array as np.save does, but by plain writing: a full disk is an error that says so, and no byte is lost.

    np.save hands the array to C's buffered streams, whose last failure nobody sees.
    """
    rows = np.ascontiguousarray(array)
    with Path(path).open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, np.lib.format.header_data_from_array_1_0(rows))
        handle.write(rows.data)
