"""Which cluster LOCAL_CLUSTER asks for: `embedded` (default), `kind`, `kind:NAME` or `context:NAME`."""

import re
from dataclasses import dataclass
from enum import StrEnum

from common.errors import CommandError

_KIND_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class Maker(StrEnum):
    """Who runs the cluster."""

    EMBEDDED = "embedded"
    KIND = "kind"
    CONTEXT = "context"


@dataclass(frozen=True)
class Selection:
    """The maker, and the name if one was given."""

    maker: Maker
    name: str | None = None


def selection(value: str | None) -> Selection:
    """Read LOCAL_CLUSTER; None and the empty text mean the default."""
    if not value:
        return Selection(Maker.EMBEDDED)
    maker, separator, name = value.partition(":")
    if value == Maker.EMBEDDED:
        return Selection(Maker.EMBEDDED)
    if maker == Maker.KIND and (not separator or _KIND_NAME.fullmatch(name)):
        return Selection(Maker.KIND, name or None)
    if maker == Maker.CONTEXT and name:
        return Selection(Maker.CONTEXT, name)
    raise CommandError(
        f"LOCAL_CLUSTER is {value!r}; it may be `embedded`, `kind`, `kind:NAME` (lower-case letters, digits, dots, "
        "hyphens) or `context:NAME` (a context of your kubeconfig). Leave it out for the embedded cluster."
    )
