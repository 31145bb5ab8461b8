"""Which cluster LOCAL_CLUSTER selects: `embedded` (default), `kind`, `kind:NAME` or `context:NAME`."""

import re
from dataclasses import dataclass
from enum import StrEnum

from common.errors import CommandError

_KIND_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class ClusterType(StrEnum):
    """Who runs the cluster."""

    EMBEDDED = "embedded"
    KIND = "kind"
    CONTEXT = "context"


@dataclass(frozen=True)
class Selection:
    """The type, and the name if one was given."""

    type: ClusterType
    name: str | None = None


def selection(value: str | None) -> Selection:
    """Parse LOCAL_CLUSTER; None and the empty text mean the default. Raises CommandError for anything else."""
    if not value:
        return Selection(ClusterType.EMBEDDED)
    type_, separator, name = value.partition(":")
    if value == ClusterType.EMBEDDED:
        return Selection(ClusterType.EMBEDDED)
    if type_ == ClusterType.KIND and (not separator or _KIND_NAME.fullmatch(name)):
        return Selection(ClusterType.KIND, name or None)
    if type_ == ClusterType.CONTEXT and name:
        return Selection(ClusterType.CONTEXT, name)
    raise CommandError(
        f"LOCAL_CLUSTER is {value!r}; it may be `embedded`, `kind`, `kind:NAME` (lower-case letters, digits, dots, "
        "hyphens) or `context:NAME` (a context of your kubeconfig). Leave it out for the embedded cluster."
    )
