"""`make up`: start what stack `local` needs, bring it up, and say what runs where."""

import sys
import time
from pathlib import Path

from common.paths import as_typed
from local import summary
from local.infrastructure import Infrastructure
from local.stack import LocalStack
from local.startup import start
from local.workspace import STACK, Workspace

GREETING = """\
Bringing up the fleet on this machine. The first time has the engine, the Kubernetes API
server and KEDA downloaded, or built from source where they cannot be, and builds both
images (usually 15 to 30 min on two cores); after that it takes seconds. Interrupt it at
any time: the same command goes on where it was."""


def up(workspace: Workspace) -> int:
    """Bring the fleet up, and return the exit status of `pulumi up`."""
    began, progress = time.monotonic(), workspace.progress
    progress.say(GREETING)
    engine, infrastructure = start(workspace)
    stack = LocalStack(engine, STACK)
    stack.create()
    stack.configure(infrastructure.overrides(), infrastructure.services.redis.password)
    _recover_interrupted_update(workspace, stack, infrastructure)
    progress.say(f"  ... pulumi up on stack {STACK}")
    # What lived in the emulators' memory is gone when they were started anew: look before believing the state.
    options = ("--yes", "--refresh", "--skip-preview", "--suppress-outputs")
    status = stack.run("up", *options, env=infrastructure.env)
    if status == 0:
        _print_summary(workspace, stack, infrastructure, time.monotonic() - began)
    return status


def _recover_interrupted_update(workspace: Workspace, stack: LocalStack, infrastructure: Infrastructure) -> None:
    """After a killed run: objects of the cluster say who made them and are adopted again, AWS' do not."""
    types = stack.pending_creates()
    if any(type_.startswith("aws:") for type_ in types):
        workspace.progress.say("  ... a killed run was making AWS resources: emptying the emulated account")
        infrastructure.services.aws.reset()
    if types:
        stack.clear_pending_operations()


def _print_summary(workspace: Workspace, stack: LocalStack, infrastructure: Infrastructure, seconds: float) -> None:
    builder, kubeconfig = infrastructure.builder, as_typed(infrastructure.cluster.kubeconfig)
    print(f"\n{summary.fleet(stack.outputs())}\n")
    print(summary.servers(workspace.servers(builder=builder is not None)))
    if stack.engine.stand_ins:
        print(f"\n  stand-ins, not Pulumi's releases: {', '.join(stack.engine.stand_ins)}")
    if builder and builder.on_stand_in_base:
        print("  the images stand on Debian packages, since Wolfi could not be pulled")
    print(
        f"\n  Up in {seconds:.0f} s. Next:\n"
        f"    {as_typed(Path(sys.executable).parent / 'kubectl')} --kubeconfig {kubeconfig} "
        "-n alphaswarm get deployments,scaledobjects\n"
        "    make preview STACK=dev     what another stack would be\n"
        "    make status                how all this does\n"
        "    make down                  end it, and leave nothing"
    )
