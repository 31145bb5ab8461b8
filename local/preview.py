"""`make preview`: what a stack would be, with no cloud account and no cluster."""

import os
from collections.abc import Sequence

from local.engine import ensure_engine
from local.services.factory import find_services
from local.stack import LocalStack, builds_images, offline_overrides, promotion_source, stack_file
from local.startup import start
from local.workspace import STACK, Workspace

NOWHERE = {"KUBECONFIG": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}


def preview(workspace: Workspace, name: str, arguments: Sequence[str]) -> int:
    """Preview a stack; what only an account or a cluster could tell shows as unknown.

    Stack `local` is previewed against what `up` started, where that runs.

    Returns:
        The exit status of `pulumi preview`, which gets the `arguments`.
    """
    paths = workspace.paths
    file = stack_file(paths.checkout, name)
    builds = builds_images(file)
    if name == STACK and all(server.running for server in workspace.servers(builder=builds)):
        return _against_what_runs(workspace, arguments)
    engine = ensure_engine(paths, workspace.progress, builds_images=builds)
    stack = LocalStack(engine, name, offline=True)
    stack.create()
    if source := promotion_source(file):
        LocalStack(engine, source).create()
    password = find_services(paths, workspace.ports).redis.password if name == STACK else None
    stack.configure(offline_overrides(file), password)
    return stack.run("preview", *arguments, env=NOWHERE)


def _against_what_runs(workspace: Workspace, arguments: Sequence[str]) -> int:
    engine, infrastructure = start(workspace)
    stack = LocalStack(engine, STACK)
    stack.create()
    stack.configure(infrastructure.overrides(), infrastructure.services.redis.password)
    return stack.run("preview", *arguments, env=infrastructure.env)
