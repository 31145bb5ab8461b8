"""An image's digest is known, or stands as zeros in a preview, and never as zeros in an update."""

import pulumi
import pytest

from components.multi_arch_image import digest_or_placeholder
from components.support.placeholder_digest import PLACEHOLDER_DIGEST

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize("preview", [True, False])
def test_a_digest_that_the_registry_told_is_taken(monkeypatch: pytest.MonkeyPatch, preview: bool) -> None:
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: preview)
    assert digest_or_placeholder("alphaswarm-worker", DIGEST) == DIGEST


@pytest.mark.parametrize("untold", ["", None])
def test_no_update_rolls_pods_to_a_digest_that_nobody_told(monkeypatch: pytest.MonkeyPatch, untold: str | None) -> None:
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    with pytest.raises(pulumi.RunError, match=r"did not say which digest alphaswarm-worker has\. Log in to it"):
        digest_or_placeholder("alphaswarm-worker", untold)


def test_a_preview_shows_zeros_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    assert digest_or_placeholder("alphaswarm-worker", "") == PLACEHOLDER_DIGEST
