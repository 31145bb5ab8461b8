"""`make down`: destroy stack `local`, end what `up` started, and remove what it kept. The tool cache stays.

It ends in bounded time, whatever hangs. What cannot be destroyed is named. Where the cluster is ours (embedded, or made
by us with kind) the objects end with it, so the rest goes on; in a cluster of somebody else's they would stay, so the
stack's state is kept and the command fails, unless it is told to give them up (`--force`).

Bounds: a server that does not start within a minute is given up, the destroy is cancelled after DESTROY_SECONDS, an
engine that does not end then is killed within 30 s, and each server that does not end within seconds is.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import CommandError
from common.paths import as_typed
from local.builder.factory import find_builder
from local.cluster import Cluster, clear_selection, find_cluster, required_tools, restart_cluster
from local.engine import TIMED_OUT, Engine, backend_url, find_engine, state_folder
from local.infrastructure import Infrastructure
from local.leftovers import end_processes_with, unmount_within
from local.remaining import Held, Remaining, commands, held, remaining
from local.services import factory as services_factory
from local.services.factory import ensure_services, find_services
from local.stack import LocalStack
from local.workspace import STACK, Workspace
from toolchain import find

DESTROY_SECONDS = 180.0
LISTED = 12


def down(workspace: Workspace, *, force: bool = False, timeout: float = DESTROY_SECONDS) -> int:
    """End everything that `up` made.

    Args:
        workspace: The checkout.
        force: Go on where objects of the stack stay in somebody else's cluster, or are protected.
        timeout: Seconds that the destroy may take.

    Returns:
        0, or 1 where objects stay in a cluster and `force` is not set: nothing is removed then.

    Raises:
        CommandError: something of ours does not end, or a resource of the stack is protected.
    """
    end_processes_with("PULUMI_BACKEND_URL", backend_url(workspace.paths))  # of a command that was killed
    engine = find_engine(workspace.paths)
    if engine is None and not force:
        _refuse_without_engine(workspace)
    left = _destroy(workspace, engine, force=force, timeout=timeout) if engine else False
    if left and not force:
        return 1
    _end_servers(workspace)
    _remove_state(workspace)
    what = "given up" if left else "destroyed"
    workspace.progress.say(f"Down: the stack is {what}, its servers are ended, and .local/ is gone.")
    return 0


def _destroy(workspace: Workspace, engine: Engine, *, force: bool, timeout: float) -> bool:
    """Destroy the stack where it runs, and return whether objects of it stay in a cluster that is not ours."""
    stack = LocalStack(engine, STACK)
    if not stack.stacks().get(STACK, {}).get("resourceCount"):
        return False
    if not force:
        _refuse_protected(stack)
    cluster = find_cluster(workspace.paths, workspace.ports)
    problem = _tried(workspace, stack, timeout)
    if not problem:
        return False
    objects = remaining(stack.resources())
    _report(workspace, cluster, problem, objects, force=force)
    return bool(objects) and not cluster.owned


def _tried(workspace: Workspace, stack: LocalStack, timeout: float) -> str:
    """Run the destroy, and return why it did not get to its end; empty when it did."""
    try:
        infrastructure = _restarted(workspace)
        status = stack.run("destroy", "--yes", "--skip-preview", env=infrastructure.env, timeout=timeout)
    except CommandError as problem:
        return str(problem)
    if status == TIMED_OUT:
        return f"`pulumi destroy` was not done after {timeout:.0f} s and was cancelled."
    return f"`pulumi destroy` ended with status {status}." if status else ""


def _restarted(workspace: Workspace) -> Infrastructure:
    """Start the servers that a destroy asks: a stack can only be destroyed where it is. Nothing is built."""
    paths, ports, progress = workspace.paths, workspace.ports, workspace.progress
    needed = (*services_factory.TOOLS, *required_tools(paths))
    if missing := [name for name in needed if find(name) is None]:
        raise CommandError(f"The servers cannot be started again: {', '.join(missing)} is not there any more.")
    services = ensure_services(paths, ports, progress)
    cluster = restart_cluster(paths, ports, progress)
    services.start(progress)
    cluster.start(progress)
    return Infrastructure(services, cluster, None)


def _refuse_without_engine(workspace: Workspace) -> None:
    """Only an engine can say what stack `local` has in a cluster that stays."""
    made = any((state_folder(workspace.paths) / ".pulumi" / "stacks").rglob(f"{STACK}.json"))
    if made and not find_cluster(workspace.paths, workspace.ports).owned:
        raise CommandError(
            "The stack's objects are in a cluster that stays, and there is no Pulumi CLI any more to destroy them. "
            "Have one with `.venv/bin/python -m toolchain pulumi`, or give them up: `make down FORCE=1`."
        )


def _refuse_protected(stack: LocalStack) -> None:
    protected = [_name(resource) for resource in stack.resources() if resource.get("protect")]
    if protected:
        raise CommandError(
            f"Stack {STACK} protects {', '.join(protected)}; nothing was destroyed. Set fleet:protect to false and run "
            "`make up`, or give up the protection: `make down FORCE=1`."
        )


def _name(resource: Mapping[str, Any]) -> str:
    kinds, name = str(resource["urn"]).split("::")[2:4]
    return f"{kinds.rpartition(':')[2]} {name}"


def _report(workspace: Workspace, cluster: Cluster, problem: str, objects: Sequence[Remaining], *, force: bool) -> None:
    say, kubectl = workspace.progress.say, find("kubectl")
    stuck = held(objects, cluster, kubectl) if kubectl else []
    say(f"\n  !!  Stack {STACK} could not be destroyed. {problem}")
    for line in _listed(objects, stuck):
        say(f"      {line}")
    if not objects:
        say("      None of its objects is left in the cluster; the rest ends with the servers.")
    elif cluster.owned:
        say("      They end with their cluster, which is removed now.\n")
    else:
        say(f"      They stay in the cluster of context {cluster.context}. To remove them by hand:")
        reach = () if force else ("--kubeconfig", as_typed(cluster.kubeconfig))
        for command in commands(objects, stuck, (*reach, "--context", cluster.context)):
            say(f"        {command}")
        if not force:
            say("      Mend what holds them and run `make down` again, or give them up: `make down FORCE=1`.")


def _listed(objects: Sequence[Remaining], stuck: Sequence[Held]) -> list[str]:
    """First what hangs, with its reason, then what waits for it, cut where it grows long."""
    lines = [f"{one.word}: being deleted since {one.since}; {one.reason}" for one in stuck]
    hanging = {(one.namespace, one.word) for one in stuck}
    waiting = [str(one) for one in objects if (one.namespace, one.word) not in hanging]
    more = [f"and {len(waiting) - LISTED} more"] if len(waiting) > LISTED else []
    return [*lines, *([f"left: {', '.join([*waiting[:LISTED], *more])}"] if waiting else [])]


def _end_servers(workspace: Workspace) -> None:
    paths, progress = workspace.paths, workspace.progress
    services = find_services(paths, workspace.ports)
    with progress.step("ending the builder and the services"):
        find_builder(paths, services.registry).stop()
        services.stop()
    find_cluster(paths, workspace.ports).stop(progress, delete_data=True)
    clear_selection(paths)
    end_processes_with("PULUMI_BACKEND_URL", backend_url(paths))


def _remove_state(workspace: Workspace) -> None:
    """Remove .local/, the stack's state first: a later `down` would look for servers that are ended."""
    paths = workspace.paths
    with workspace.progress.step("removing what it kept (.local/)", usual="seconds"):
        unmount_within(paths.state)
        _remove(state_folder(paths))
        _remove(paths.state)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as problem:
        raise CommandError(
            f"{problem.filename} could not be removed: {problem.strerror}. Run `make down` again once it can be."
        ) from None
