"""Every stack previews without an account and a cluster; later stacks show the digests of earlier ones."""

import re
import threading
from collections.abc import Callable, Iterator
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from .checkout import IMAGES, Checkout
from .fleet import Fleet

pytestmark = pytest.mark.engine

ZEROS = "sha256:" + "0" * 64
DEV = {
    "namespace": "dev",  # beside stack `local` in the same cluster
    "aws": None,
    "cluster": None,
    "registry": None,
    "identity": None,
    "images": IMAGES,
}


class Proxy:
    """A proxy that hands nothing on, and remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                asked.append(self.rfile.readline().decode(errors="replace"))
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        self.server = ThreadingTCPServer(("127.0.0.1", 0), Handler)

    @property
    def env(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        ways = {name: url for base in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for name in (base, base.lower())}
        return {**ways, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    threading.Thread(target=made.server.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def alone(new_checkout: Callable[[str], Checkout]) -> Checkout:
    """A checkout in which nothing runs."""
    return new_checkout("alone")


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_a_stack_previews_without_account_cluster_or_network(alone: Checkout, proxy: Proxy, stack: str) -> None:
    result = alone.local("preview", stack, **proxy.env, AWS_ACCESS_KEY_ID="", KUBECONFIG="/nowhere").ok()
    created = re.search(r"\+ (\d+) to create", result.out)
    assert created is not None, result.out
    assert int(created[1]) > 60
    assert "Traceback" not in result.text
    assert proxy.asked == [], "a preview without an account asked somebody"
    assert alone.servers() == {}
    if stack != "dev":
        assert "has built no alphaswarm-worker yet" in result.text


@pytest.mark.cluster
def test_staging_previews_the_digests_that_dev_deploys_once_dev_is_up(running_fleet: Fleet) -> None:
    checkout = running_fleet.checkout
    before = checkout.local("preview", "staging", "--", "--diff").ok()
    assert before.out.count(ZEROS) > 0
    assert "organization/alphaswarm-fleet/dev has built no alphaswarm-executor yet" in before.text

    dev = Fleet(checkout, "dev")
    checkout.configure("dev", **DEV)
    dev.stack.create()
    dev.stack.configure({"fleet:cluster": running_fleet.infrastructure.overrides()["fleet:cluster"]}, None)
    dev.up().ok()
    assert dev.stack.outputs()["images"]["alphaswarm-worker"] == IMAGES["worker"]

    after = checkout.local("preview", "staging", "--", "--diff").ok()
    assert IMAGES["worker"] in after.out
    assert IMAGES["executor"] in after.out
    assert ZEROS not in after.out
    assert "has built no" not in after.text
