"""What the runtime costs, against a bare `celery worker` with the same guarantees as far as Celery gives them."""
