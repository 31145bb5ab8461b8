"""A checkout that is up, for the whole session, and other copies for tests that must not change it."""

import os
from collections.abc import Callable, Iterator

import pytest

from local.processes import Daemon

from .checkout import Checkout, copy_checkout
from .fleet import Fleet, Snapshot


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Checkout]]:
    """Return a function that makes a copy. The copies' servers are ended with the session."""
    made: list[Checkout] = []

    def make(name: str) -> Checkout:
        made.append(copy_checkout(tmp_path_factory.mktemp(name) / "checkout"))
        return made[-1]

    yield make
    for checkout in made:
        end(checkout)


@pytest.fixture(scope="session")
def running_fleet(new_checkout: Callable[[str], Checkout]) -> Fleet:
    """Bring stack `local` up with `python -m local up`."""
    fleet = Fleet(new_checkout("running_fleet"))
    fleet.checkout.local("up").ok()
    fleet.mark_restored()
    return fleet


@pytest.fixture(scope="session")
def first_snapshot(running_fleet: Fleet) -> Snapshot:
    """Return what the first `up` created."""
    running_fleet.restore()
    return running_fleet.snapshot()


@pytest.fixture
def fleet(running_fleet: Fleet) -> Fleet:
    """Return the same, as its committed file says; a test may leave it changed."""
    running_fleet.restore()
    return running_fleet


@pytest.fixture(autouse=True)
def _without_the_users_settings() -> Iterator[None]:
    """Remove the settings of Pulumi and of the cluster from the environment."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("PULUMI_", "LOCAL_CLUSTER"))}
    yield
    os.environ.update(kept)


def end(checkout: Checkout) -> None:
    """End the copy's servers."""
    for name in checkout.servers():
        Daemon(name, checkout.paths.run, checkout.paths.logs).stop(0.0)
