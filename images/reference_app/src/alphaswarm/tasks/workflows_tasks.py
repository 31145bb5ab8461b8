"""Orchestration: a workflow is a chain of tasks on the queues that own them, and never waits for its parts."""

from celery import chain, chord, shared_task

from alphaswarm.tasks import backtest_tasks, default_tasks, factors_tasks, ingestion_tasks

CROSSINGS = ((5, 20), (10, 50), (20, 100))


@shared_task
def research(symbol: str, days: int) -> dict[str, str]:
    """Start a workflow: ingest, build factors, back-test a few crossings in parallel, and record the result."""
    run = f"research-{symbol}-{days}"
    tests = chord(
        [backtest_tasks.moving_average.si(symbol, days, fast, slow) for fast, slow in CROSSINGS],
        default_tasks.on_finished.s(run),
    )
    work = chain(ingestion_tasks.pull.si(symbol, days), factors_tasks.build.si([symbol], days), tests)
    return {"run": run, "workflow": work.apply_async().id}
