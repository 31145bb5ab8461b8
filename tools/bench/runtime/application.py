"""The application under measurement. Each task notes in Redis when it began, by the clock that all processes share."""

# mypy: disable-error-code="untyped-decorator"
# (Celery's decorator has no types.)

import os
import time

import redis
from celery import Celery

app = Celery("bench", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3600},
)
starts = redis.Redis.from_url(os.environ["BENCH_STARTS"])


@app.task(name="bench.nothing")
def nothing(sent_at: float) -> None:
    starts.rpush("starts", f"{sent_at} {time.monotonic()}")
