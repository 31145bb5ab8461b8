"""The Celery application: routes by task module, and the beat schedule.

A queue is served by the module that is named after it, so a module `<queue>_tasks.py` is all that a new one takes.
Addresses and safety settings are the fleet's business and come from its runtime; what stands here is what the
application needs when somebody starts it by hand.
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
