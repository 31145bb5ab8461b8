"""One checkout that is up, for the whole session; and fresh copies for what must not meet it."""

import os
from collections.abc import Callable, Iterator

import pytest

from local.processes import Daemon

from .checkout import Checkout, copy
from .fleet import Fleet, Snapshot


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Checkout]]:
    """Makes a copy; whatever it started is ended with the session."""
    made: list[Checkout] = []

    def make(name: str) -> Checkout:
        made.append(copy(tmp_path_factory.mktemp(name) / "checkout"))
        return made[-1]

    yield make
    for checkout in made:
        end(checkout)


@pytest.fixture(scope="session")
def standing(new_checkout: Callable[[str], Checkout]) -> Fleet:
    """Stack `local`, brought up by `python -m local up`."""
    fleet = Fleet(new_checkout("standing"))
    fleet.checkout.local("up").ok()
    fleet.settled()
    return fleet


@pytest.fixture(scope="session")
def undisturbed(standing: Fleet) -> Snapshot:
    """What the first up made."""
    standing.settle()
    return standing.snapshot()


@pytest.fixture
def fleet(standing: Fleet) -> Fleet:
    """The same, as its committed file says; a test may leave it otherwise."""
    standing.settle()
    return standing


@pytest.fixture(autouse=True)
def _only_our_own_words() -> Iterator[None]:
    """The machine's own Pulumi and cluster settings say nothing here."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("PULUMI_", "LOCAL_CLUSTER"))}
    yield
    os.environ.update(kept)


def end(checkout: Checkout) -> None:
    """End what still runs of the copy, servers that write first."""
    for name in checkout.servers():
        Daemon(name, checkout.paths.run, checkout.paths.logs).stop(0.0)
