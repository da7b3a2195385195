"""What can go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Sequence


class LitesmithError(Exception):
    """Everything that litesmith raises of its own."""


class ConversionError(LitesmithError):
    """A model was not converted."""


class ModelError(ConversionError, ValueError):
    """What was given is no sound model."""


class OptionsError(LitesmithError, ValueError):
    """A setting that does not fit the model or another setting."""


class CalibrationError(ConversionError, ValueError):
    """Samples do not fit the model, or can't be run."""


class InternalError(LitesmithError):
    """A fault of litesmith itself."""


class RuntimeUnavailable(LitesmithError):
    """No LiteRT library was found, or none that is known: ``pip install litesmith[litert]``."""


class RunError(LitesmithError):
    """LiteRT does not take or run the file."""


class VerificationError(LitesmithError):
    """A file and a model can't be compared."""


class QualityError(LitesmithError):
    """A file is further from its model than was asked."""


@dataclass(frozen=True)
class Problem:
    """Why one node can't be converted."""

    node: str
    """Name of the node, or of its first result."""
    index: Optional[int]
    """Position in the model; ``None`` inside another node."""
    op: str
    """Operator with its domain: ``Conv``, ``com.microsoft::FusedConv``."""
    opset: int
    attribute: Optional[str]
    """Attribute or operand that is meant, where there is one."""
    what: str
    hint: str
    """What to do about it."""


class UnsupportedError(ConversionError):
    """Nodes of the model can't be expressed. The fields are those of the first; ``all`` holds every one."""

    def __init__(self, message: str, problems: Sequence[dict[str, Any]]) -> None:
        super().__init__(message, problems)
        self.all = [Problem(**fields) for fields in problems]
        first = self.all[0]
        self.node = first.node
        self.op = first.op
        self.opset = first.opset
        self.attribute = first.attribute
        self.what = first.what
        self.hint = first.hint

    def __str__(self) -> str:
        return str(self.args[0])
