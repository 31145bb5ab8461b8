"""Names for values of Celery, kombu, billiard and redis-py, which have no types: they say what a value is."""

from typing import Any, TypeAlias

App: TypeAlias = Any  # celery.Celery
Backend: TypeAlias = Any  # celery.backends.base.Backend
Pool: TypeAlias = Any  # celery.concurrency.base.BasePool
PoolProcess: TypeAlias = Any  # billiard.process.Process
PoolJob: TypeAlias = Any  # billiard.pool.ApplyResult
Request: TypeAlias = Any  # celery.worker.request.Request
ControlState: TypeAlias = Any  # celery.utils.objects.Bunch, with the app and the consumer
Worker: TypeAlias = Any  # celery.worker.WorkController
Consumer: TypeAlias = Any  # celery.worker.consumer.Consumer
ScheduleEntry: TypeAlias = Any  # celery.beat.ScheduleEntry
Task: TypeAlias = Any  # celery.Task
Hub: TypeAlias = Any  # kombu.asynchronous.Hub
Message: TypeAlias = Any  # kombu.Message
Connection: TypeAlias = Any  # kombu.Connection
Client: TypeAlias = Any  # redis.Redis
ExceptionInfo: TypeAlias = Any  # billiard.einfo.ExceptionInfo
