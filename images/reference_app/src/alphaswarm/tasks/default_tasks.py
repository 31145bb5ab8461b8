"""Bookkeeping: lineage of runs, and callbacks."""

import hashlib
import json
import time
from typing import Any

from celery import shared_task

from alphaswarm import storage


@shared_task
def record_lineage(run: str, inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    """Record what a run read and wrote, under a digest of that record."""
    facts = {"run": run, "inputs": sorted(inputs), "outputs": sorted(outputs)}
    text = json.dumps(facts, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    storage.replace(storage.data() / "lineage" / f"{digest}.json", text.encode())
    return {**facts, "digest": digest}


@shared_task
def on_finished(result: Any, run: str) -> dict[str, Any]:  # noqa: ANN401 whatever the task before it returned
    """Record that a run finished, and its result. The callback of a run."""
    note = {"run": run, "finished": time.time(), "result": result}
    storage.replace(storage.data() / "runs" / f"{run}.json", json.dumps(note).encode())
    return note


@shared_task
def report() -> dict[str, int]:
    """Return how many runs and lineage records there are."""
    return {kind: sum(1 for _ in (storage.data() / kind).glob("*.json")) for kind in ("lineage", "runs")}
