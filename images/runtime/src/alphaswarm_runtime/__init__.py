"""Runs any Celery application on the fleet: consumes the queues of its image and loses no task.

Importing this package imports nothing else: the probes run it every few seconds.
"""

__version__ = "0.1.0"
