"""A Celery application with one entry in its schedule, every eight seconds."""

from celery import Celery

app = Celery("slow")
app.conf.beat_schedule = {"slow": {"task": "sample.note", "schedule": 8.0, "args": ("slow",)}}
