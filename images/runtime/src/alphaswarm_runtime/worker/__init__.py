"""Runs tasks: Celery's consumer and what surrounds it."""
