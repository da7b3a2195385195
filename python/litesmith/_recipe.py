"""Rules for some of the operators."""

from __future__ import annotations

import os
from typing import Union

from litesmith import _litesmith


class Recipe:
    """Ordered rules that say how operators are quantized: where several speak of one, the last that can be followed counts.

    Args:
        text: TOML, JSON as ai-edge-quantizer writes it, or one of :attr:`NAMES`.

    Raises:
        OptionsError: It is none of these, or a rule asks for what there is not.
    """

    NAMES: tuple[str, ...] = tuple(_litesmith.recipes)
    """Recipes that ai-edge-quantizer has names for."""

    def __init__(self, text: str) -> None:
        self._toml = _litesmith.recipe(text)

    @classmethod
    def load(cls, path: Union[str, os.PathLike[str]]) -> Recipe:
        """Reads a file of TOML or JSON."""
        with open(path, encoding="utf-8") as file:
            return cls(file.read())

    def __str__(self) -> str:
        """The rules as TOML."""
        return self._toml

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self._toml == other._toml

    def __hash__(self) -> int:
        return hash(self._toml)
