"""Reads a checkout it has never seen, and reports which Celery queues nobody drains, or two images, and the like.

It imports nothing of what it reads, and of this project nothing either: the standard library and PyYAML are enough, so
that it runs in another repository's CI. `python -m surfaces audit PATH` is the command; docs/audit.md describes it.
"""
