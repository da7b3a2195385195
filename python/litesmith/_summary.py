"""Text for people and a mapping for programs, in one."""

from __future__ import annotations

from typing import Any, Iterator, Mapping


class Summary(Mapping[str, Any]):
    """``str`` gives what the command prints, the mapping what it prints with ``--json``."""

    def __init__(self, text: str, fields: dict[str, Any]) -> None:
        self._text = text
        self._fields = fields

    def __str__(self) -> str:
        return self._text

    def __getitem__(self, key: str) -> Any:
        return self._fields[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)
