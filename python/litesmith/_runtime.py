"""Where LiteRT is."""

from __future__ import annotations

import importlib.util
import os
from typing import Optional

VARIABLE = "LITESMITH_LITERT"


def library() -> Optional[str]:
    """The folder of the package ``ai-edge-litert`` that this Python would import, unless the environment names another place."""
    if os.environ.get(VARIABLE):
        return None
    spec = importlib.util.find_spec("ai_edge_litert")
    places = spec.submodule_search_locations if spec else None
    return next(iter(places), None) if places else None
