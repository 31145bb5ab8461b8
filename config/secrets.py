"""A stack's secrets. They are never in the model, so that no error and no `repr` can show one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pulumi


@dataclass(frozen=True)
class Secrets:
    """The stack's secrets, as secret outputs; None where the stack has none."""

    broker_password: "pulumi.Output[str] | None" = None
    netrc: "pulumi.Output[str] | None" = None
    git_token: "pulumi.Output[str] | None" = None
