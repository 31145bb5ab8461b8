"""Celery's side of the platform: one module for each queue, and the application that routes to them.

Modules import what every image has; a task imports its extra's packages when it runs. So both images can import all
modules and send any task, while only the queue's own image can run it.
"""
