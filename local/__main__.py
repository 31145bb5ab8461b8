"""The fleet on this machine: `python -m local up | preview | down | status`.

Every command may be interrupted and run again. Exit status: 0 done, 1 could not be done (one message says why), 2 the
command line is wrong, 130 interrupted; a failing `pulumi` hands on its own.
"""

import argparse
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.exit_status import as_exit_status
from common.paths import Paths, as_typed, this_checkout
from common.progress import Progress
from local import summary
from local.builder import Builder
from local.builder.factory import builder_to_start, started_builder
from local.cluster import Cluster, cluster_to_start, forget, started_cluster
from local.engine import known_engine, open_engine
from local.lock import exclusive
from local.ports import Ports
from local.services.factory import Services, services_to_start, started_services
from local.services.server import PartStatus
from local.stack import LocalStack, application_lock, builds_images, committed, interactive, offline, promotes_from

STACK = "local"


class Local:
    """This checkout's fleet: its folders, its ports, and how it talks."""

    def __init__(self, paths: Paths, progress: Progress) -> None:
        self.paths, self.progress = paths, progress
        self.ports = Ports(paths.run / "ports.json")

    def up(self) -> int:
        """Start what the stack needs, bring the stack up, and say what stands where."""
        began = time.monotonic()
        self.progress.say("Bringing up the fleet on this machine. The first time builds the engine, the Kubernetes API")
        self.progress.say("server and KEDA from source, and both images (usually 30 to 40 minutes on two cores); after")
        self.progress.say("that it takes seconds. Interrupt it at any time: the same command goes on where it was.")
        builds = builds_images(committed(self.paths.checkout, STACK))
        engine = open_engine(self.paths, self.progress, builds_images=builds)
        ground = self._start(builds=builds)
        stack = LocalStack(engine, STACK)
        stack.create()
        stack.configure(ground.additions(), ground.services.redis.password)
        self._take_up_what_was_cut_short(stack, ground)
        self.progress.say(f"  ... pulumi up on stack {STACK}")
        # What lived in the emulators' memory is gone when they were started anew: look before believing the state.
        options = ("--yes", "--refresh", "--skip-preview", "--suppress-outputs", *interactive())
        status = stack.run("up", *options, env=ground.env)
        if status != 0:
            return status
        self._say_what_stands(stack, ground, time.monotonic() - began)
        return 0

    def preview(self, name: str, arguments: Sequence[str]) -> int:
        """Preview a stack with no cloud account and no cluster; what only they could tell shows as unknown.

        Stack `local` is previewed against what `up` started, where that runs.
        """
        file = committed(self.paths.checkout, name)
        builds = builds_images(file)
        engine = open_engine(self.paths, self.progress, builds_images=builds)
        here = name == STACK and all(part.running for part in self._parts(builds=builds))
        stack = LocalStack(engine, name, offline=not here)
        stack.create()
        if source := promotes_from(file):
            LocalStack(engine, source).create()
        if here:
            ground = self._start(builds=builds)
            stack.configure(ground.additions(), ground.services.redis.password)
            return stack.run("preview", *interactive(), *arguments, env=ground.env)
        password = started_services(self.paths, self.ports).redis.password if name == STACK else None
        stack.configure(offline(file), password)
        nowhere = {"KUBECONFIG": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
        return stack.run("preview", *interactive(), *arguments, env=nowhere)

    def down(self) -> int:
        """Destroy the stack, end what `up` started, and remove what it kept. The tool cache stays."""
        engine = known_engine(self.paths)
        stack = LocalStack(engine, STACK) if engine else None
        if stack is not None and stack.known().get(STACK, {}).get("resourceCount"):
            # A stack can only be destroyed where it stands.
            ground = self._start(builds=builds_images(committed(self.paths.checkout, STACK)))
            status = stack.run("destroy", "--yes", "--skip-preview", *interactive(), env=ground.env)
            if status != 0:
                return status
        services = started_services(self.paths, self.ports)
        started_builder(self.paths, services.registry).stop()
        services.stop()
        started_cluster(self.paths, self.ports).stop(self.progress, delete_data=True)
        forget(self.paths)
        with self.progress.step("removing what it kept (.local/)", usual="seconds; with built images 2 min"):
            shutil.rmtree(self.paths.state)
        self.progress.say("Down: the stack is destroyed, its servers are ended, and .local/ is gone.")
        return 0

    def status(self) -> int:
        """Say how the servers and the stack do."""
        print(summary.parts(self._parts()))
        engine = known_engine(self.paths)
        row = LocalStack(engine, STACK).known().get(STACK) if engine else None
        if row is None:
            print(f"\n  stack {STACK}: not created; `make up` does")
        else:
            count, last = row.get("resourceCount", 0), row.get("lastUpdate", "never")
            print(f"\n  stack {STACK}: {count} resources, last update {last}")
        return 0

    def _start(self, *, builds: bool) -> "Ground":
        services = services_to_start(self.paths, self.ports, self.progress)
        cluster = cluster_to_start(os.environ.get("LOCAL_CLUSTER"), self.paths, self.ports, self.progress)
        lock = application_lock(committed(self.paths.checkout, STACK))
        builder = builder_to_start(self.paths, services.registry, self.progress, lock) if builds else None
        services.start(self.progress)
        cluster.start(self.progress)
        return Ground(services, cluster, builder.start(self.progress) if builder else None)

    def _parts(self, *, builds: bool = True) -> tuple[PartStatus, ...]:
        services, cluster = started_services(self.paths, self.ports), started_cluster(self.paths, self.ports)
        builder = (started_builder(self.paths, services.registry).status(),) if builds else ()
        return *services.status(), *builder, *cluster.status()

    def _take_up_what_was_cut_short(self, stack: LocalStack, ground: "Ground") -> None:
        """After a killed run: objects of the cluster say who made them and are taken up again, AWS' do not."""
        kinds = stack.cut_short()
        if any(kind.startswith("aws:") for kind in kinds):
            self.progress.say("  ... a killed run was making AWS resources: emptying the emulated account")
            ground.services.aws.reset()
        if kinds:
            stack.forget_cut_short()

    def _say_what_stands(self, stack: LocalStack, ground: "Ground", seconds: float) -> None:
        print(f"\n{summary.fleet(stack.outputs())}\n")
        print(summary.parts(self._parts(builds=ground.builder is not None)))
        if stack.engine.stands_in:
            print(f"\n  stand-ins, not Pulumi's releases: {', '.join(stack.engine.stands_in)}")
        if ground.builder and ground.builder.stands_in:
            print("  the images stand on Debian packages, since Wolfi could not be pulled")
        kubectl = (
            f"{as_typed(Path(sys.executable).parent / 'kubectl')} --kubeconfig {as_typed(ground.cluster.kubeconfig)}"
        )
        print(
            f"\n  Up in {seconds:.0f} s. Next:\n"
            f"    {kubectl} -n alphaswarm get deployments,scaledobjects\n"
            "    make preview STACK=dev     what another stack would be\n"
            "    make status                how all this does\n"
            "    make down                  end it, and leave nothing"
        )


@dataclass(frozen=True)
class Ground:
    """What stack `local` stands on, once it is started."""

    services: Services
    cluster: Cluster
    builder: Builder | None  # None where the stack is given its images

    @property
    def env(self) -> Mapping[str, str]:
        """What the engine's own processes need to find the builder."""
        return self.builder.env if self.builder else {}

    def additions(self) -> dict[str, object]:
        """What this machine adds to the stack's committed file."""
        redis, builder = self.services.redis, self.builder
        return {
            "fleet:aws": {"endpoint": self.services.aws.endpoint},
            "fleet:cluster": {
                "kubeconfig": str(self.cluster.kubeconfig),
                "context": self.cluster.context,
                "awaitReady": False,  # no node can pull from a registry on this machine's loopback yet
            },
            "fleet:registry": {"address": self.services.registry.endpoint},
            "fleet:broker": {} if self.cluster.runs_pods else {"scalerAddress": f"{redis.host}:{redis.port}"},
            **({"fleet:images": _built_by(builder)} if builder else {}),
        }


def _built_by(builder: Builder) -> dict[str, object]:
    return {
        "builder": builder.name,
        "platforms": list(builder.platforms),
        "contexts": dict(builder.contexts),
        "buildArgs": dict(builder.build_args),
    }


def main() -> int:
    """Read the command line and do it."""
    arguments = _parser().parse_args()
    local = Local(this_checkout(), Progress())
    commands: dict[str, Callable[[], int]] = {
        "up": local.up,
        "down": local.down,
        "status": local.status,
        "preview": lambda: local.preview(arguments.stack, arguments.pulumi),
    }
    with as_exit_status(interrupted="Interrupted. The same command goes on from here."), _room_for_it():
        if arguments.command == "status":
            return local.status()
        with exclusive(local.paths):
            return commands[arguments.command]()


@contextmanager
def _room_for_it() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise CommandError("The disk is full. Free some space, then run the same command again.") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="The AlphaSwarm fleet on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start what stack `local` needs, and bring it up")
    preview = commands.add_parser("preview", help="preview a stack without an account or a cluster")
    preview.add_argument("stack", help="local, dev, staging or prod")
    preview.add_argument("pulumi", nargs="*", help="more arguments for pulumi, after --")
    commands.add_parser("down", help="destroy the stack, and end what `up` started")
    commands.add_parser("status", help="how the servers and the stack do")
    return parser


if __name__ == "__main__":
    sys.exit(main())
