"""Keeps an update from replacing pods while an exchange has a session.

The engine asks a hook before it changes a resource. In a preview the answer is a warning, so that whoever reads it
knows before; in an update it is an error, and the pods stay as they are until the update is run again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pulumi

from config.calendars import exchange_calendar
from config.schema import PREFIX
from queues import Sessions


def rollout_guard(name: str, sessions: Sessions) -> pulumi.ResourceHookBinding:
    """Return the hook of a Deployment, whose resource has this name."""

    def refuse(args: pulumi.ResourceHookArgs) -> None:
        text = rollout_error(name, sessions, args.old_inputs, args.new_inputs, datetime.now(UTC))
        if text is None:
            return
        if not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(text)
        pulumi.log.warn(text)

    options = pulumi.ResourceHookOptions(on_dry_run=True)
    return pulumi.ResourceHookBinding(before_update=[pulumi.ResourceHook(f"{name}-rollout", refuse, options)])


def rollout_error(
    name: str, sessions: Sessions, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, now: datetime
) -> str | None:
    """Return why a Deployment may not become `new` now; None where its pods stay, or no session is open."""
    session = exchange_calendar(sessions.calendar).session_at(now, sessions.before, sessions.after)
    if session is None or _pods(old) == _pods(new):
        return None
    return (
        f"{name}: this would replace its pods during a session of {sessions.calendar}, and an update refuses to until "
        f"{session.closes + sessions.after:%Y-%m-%d %H:%M} UTC. Update then, or now with {PREFIX}:scaling, sessions, "
        "rollouts: anytime."
    )


def _pods(deployment: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 a part of a manifest, or what the engine has for one
    return (deployment or {}).get("spec", {}).get("template")
