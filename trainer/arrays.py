"""Names of the kinds of arrays in annotations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # of numbers, of truth values or of text, in any number of dimensions
Floats = NDArray[np.float64]
