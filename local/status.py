"""`make status`: how the servers and the stack do."""

from local import summary
from local.engine import find_engine
from local.stack import LocalStack
from local.workspace import STACK, Workspace


def status(workspace: Workspace) -> int:
    """Print a line for each server, and one for the stack."""
    print(summary.servers(workspace.servers()))
    engine = find_engine(workspace.paths)
    row = LocalStack(engine, STACK).stacks().get(STACK) if engine else None
    if row is None:
        print(f"\n  stack {STACK}: not created; `make up` does")
    else:
        count, last = row.get("resourceCount", 0), row.get("lastUpdate", "never")
        print(f"\n  stack {STACK}: {count} resources, last update {last}")
    return 0
