"""The Celery application: routes by task module, and the beat schedule.

A queue has the tasks of the module named after it, so a new queue needs no more than a module `<queue>_tasks.py`.
Addresses and safety settings come from the fleet's runtime; those set here are for an application started by hand.
"""

import os
from pathlib import Path

from celery import Celery
from celery.schedules import crontab

QUEUES = sorted(file.stem.removesuffix("_tasks") for file in Path(__file__).parent.glob("*_tasks.py"))

app = Celery("alphaswarm", include=[f"alphaswarm.tasks.{queue}_tasks" for queue in QUEUES])
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL", "redis://redis:6379/0"),
    result_backend=os.environ.get("CELERY_RESULT_BACKEND", "redis://redis:6379/1"),
    task_default_queue="default",
    task_routes={f"alphaswarm.tasks.{queue}_tasks.*": {"queue": queue} for queue in QUEUES},
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_track_started=True,
    result_expires=24 * 3600,
    timezone="UTC",
    beat_schedule={
        "report-hourly": {"task": "alphaswarm.tasks.default_tasks.report", "schedule": crontab(minute="0")},
        "ingest-hourly": {
            "task": "alphaswarm.tasks.ingestion_tasks.pull",
            "schedule": crontab(minute="10"),
            "args": ["SPY", 30],
        },
        "factors-six-hourly": {
            "task": "alphaswarm.tasks.factors_tasks.build",
            "schedule": crontab(minute="20", hour="*/6"),
            "args": [["SPY", "QQQ", "IWM"], 504],
        },
        "predictor-six-hourly": {
            "task": "alphaswarm.tasks.ml_tasks.refresh_predictor",
            "schedule": crontab(minute="30", hour="*/6"),
            "args": ["SPY", 504],
        },
        "embeddings-six-hourly": {
            "task": "alphaswarm.tasks.rag_tasks.refresh_embeddings",
            "schedule": crontab(minute="40", hour="*/6"),
        },
    },
)
