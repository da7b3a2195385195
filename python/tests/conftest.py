from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from litesmith._samples import NamedArrays

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


@pytest.fixture
def digits() -> Path:
    """A classifier of 8 x 8 digits: `image` to `logits`."""
    return FIXTURES / "digits" / "digits.onnx"


@pytest.fixture
def refused() -> Path:
    return FIXTURES / "refused" / "refused.onnx"


@pytest.fixture
def images() -> NamedArrays:
    """Samples for `digits`."""
    with np.load(FIXTURES / "digits" / "calibration.npz") as stored:
        return [[(name, rows[i : i + 1])] for name, rows in stored.items() for i in range(len(rows))]
