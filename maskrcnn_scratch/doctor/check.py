"""One finding of the doctor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "warning", "fault"]

REINSTALL = "make test, or: python -m pip install -c constraints.txt -e ."


@dataclass(frozen=True)
class Check:
    """A fault stops training or evaluation; a warning costs speed or a feature."""

    name: str
    severity: Severity
    found: str
    advice: str = ""


def trial(
    name: str,
    attempt: Callable[[], str],
    severity: Severity = "fault",
    advice: str = REINSTALL,
) -> Check:
    """Do it, and say what came of it; any exception is a finding of ``severity``."""
    try:
        return Check(name, "ok", attempt())
    except Exception as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        return Check(name, severity, found, advice)
