"""Runs any Celery application on the fleet: takes the queues of its image, loses no task, says how it fares.

Importing this package imports nothing else: the probes run it every few seconds.
"""

__version__ = "0.1.0"
