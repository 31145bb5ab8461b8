"""Stack `local` on an API server with KEDA and an emulated AWS account of the bench's own.

The servers are ended and their data deleted when the block ends, by an exception too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from common.errors import CommandError
from local.cluster import EmbeddedCluster, ensure_embedded_tools
from local.ports import Ports
from local.services.aws import Aws
from local.services.redis import Redis
from local.stack import LocalStack
from toolchain import ensure
from tools.bench.measure import Command
from tools.bench.workspace import Workspace

STACK = "local"
DIGEST = "sha256:" + "0" * 64
IMAGES = {
    "source": "digests",
    "worker": f"alphaswarm-worker@{DIGEST}",
    "executor": f"alphaswarm-executor@{DIGEST}",
}
UP = ("--yes", "--skip-preview")


@contextmanager
def deployed_stack(workspace: Workspace) -> Iterator[Mapping[str, Command]]:
    """Deploy the stack once, and yield an update and a preview that change nothing."""
    paths, progress = workspace.engine.paths, workspace.progress
    ports = Ports(paths.run / "ports.json")
    redis = Redis(ensure(["redis-server"], progress)["redis-server"], paths, ports)
    aws, cluster = Aws(paths, ports), EmbeddedCluster(paths, ports, ensure_embedded_tools(progress))
    try:
        redis.start(progress)
        aws.start(progress)
        cluster.start(progress)
        stack = LocalStack(workspace.engine, STACK)
        stack.create()
        _configure(stack, redis, aws, cluster)
        program = workspace.fleet()
        up = workspace.command("up", stack, program, {}, *UP)
        with progress.step("first up, which is not timed", usual="20 s"):
            up.measure()
        if "unchanged" not in up.measure().output:
            raise CommandError("a second up of stack local still changes something, so there is no update to time")
        yield {"up": up, "preview": workspace.command("preview", stack, program, {})}
    finally:
        cluster.stop(progress, delete_data=True)
        aws.stop()
        redis.stop()


def _configure(stack: LocalStack, redis: Redis, aws: Aws, cluster: EmbeddedCluster) -> None:
    here = {
        "fleet:aws": {"endpoint": aws.endpoint},
        "fleet:cluster": {"kubeconfig": str(cluster.kubeconfig), "context": cluster.context, "awaitReady": False},
        "fleet:broker": {"scalerAddress": f"{redis.host}:{redis.port}"},
    }
    # The committed file builds its images; a section of another kind cannot be laid over that one.
    file = stack.engine.paths.checkout / f"Pulumi.{STACK}.yaml"
    file.write_text(file.read_text().replace("    source: build\n", _digest_images()))
    stack.configure(here, redis.password)


def _digest_images() -> str:
    return "".join(f"    {key}: {value}\n" for key, value in IMAGES.items())
