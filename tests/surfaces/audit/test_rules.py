"""One defect a rule, found at its place; and beside each the near miss that is right."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from surfaces.audit.command import audit
from surfaces.audit.report import Report
from surfaces.audit.rules import RULES
from tests.surfaces.audit.conftest import Audit

Files = Mapping[str, str]

APP = """
from celery import Celery

app = Celery("shop", broker="redis://redis:6379/0")
app.conf.task_routes = {"shop.mail.*": {"queue": "mail"}, "shop.reports.*": {"queue": "reports"}}
"""
COMPOSE = """
services:
  web:
    image: shop-worker
    command: gunicorn shop
  worker:
    image: registry.example/shop-worker:1.2
    command: celery -A shop worker -Q celery,mail -c 4
  heavy:
    image: registry.example/shop-heavy:1.2
    command: celery -A shop worker -Q reports -c 2
"""


def deployment(name: str, image: str, arguments: str, *, grace: str = "", replicas: int = 1) -> str:
    """A Deployment's text."""
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  template:
    spec:
      {grace}
      containers:
      - name: {name}
        image: {image}
        command: [celery, -A, shop]
        args: [{arguments}]
"""


def scaled_object(target: str, *lists: str, more: str = "") -> str:
    """A ScaledObject's text, with a trigger for each list."""
    triggers = "".join(
        f"  - type: redis\n    metadata:\n      address: redis:6379\n      listName: {name}\n" for name in lists
    )
    head = f"apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: {target}-scaler}}\nspec:\n"
    return f"{head}  scaleTargetRef: {{name: {target}}}\n{more}  triggers:\n{triggers}"


CLUSTER = {
    "k8s/worker.yaml": deployment("worker", "shop-worker", "worker, -Q, 'celery,mail'"),
    "k8s/heavy.yaml": deployment("heavy", "shop-heavy", "worker, -Q, reports"),
}


def told(report: Report) -> list[tuple[str, str, int, str | None]]:
    """The findings: rule, file, line, queue."""
    return [(each.rule, each.location.path, each.location.line, each.queue) for each in report.findings]


def test_a_sound_repository_is_clean(audited: Audit) -> None:
    report = audited({"shop/celery.py": APP, "docker-compose.yml": COMPOSE, **CLUSTER})
    assert told(report) == []
    assert not report.facts.unreadable


DEFECTS: dict[str, tuple[str, Files, tuple[str, int, str | None]]] = {
    "two services of one Compose file": (
        "queue-drained-by-two-images",
        {"shop/celery.py": APP, "docker-compose.yml": COMPOSE.replace("-Q reports", "-Q reports,mail")},
        ("docker-compose.yml", 10, "mail"),
    ),
    "two build targets of one Dockerfile": (
        "queue-drained-by-two-images",
        {
            "docker-compose.yml": """
            services:
              a:
                build: {context: ., target: worker}
                command: celery -A shop worker -Q mail
              b:
                build: {context: ., target: heavy}
                command: celery -A shop worker -Q mail
            """
        },
        ("docker-compose.yml", 7, "mail"),
    ),
    "two Deployments": (
        "queue-drained-by-two-images",
        {**CLUSTER, "k8s/heavy.yaml": deployment("heavy", "shop-heavy", "worker, -Q, 'reports,mail'")},
        ("k8s/worker.yaml", 13, "mail"),
    ),
    "two stages of a Dockerfile": (
        "queue-drained-by-two-images",
        {
            "Dockerfile": """
            FROM python AS base
            FROM base AS worker
            CMD ["celery", "-A", "shop", "worker", "-Q", "mail,celery"]
            FROM base AS heavy
            CMD celery -A shop worker -Q reports,mail
            """
        },
        ("Dockerfile", 5, "mail"),
    ),
    "two Dockerfiles": (
        "queue-drained-by-two-images",
        {
            "worker/Dockerfile": "FROM python\nCMD celery -A shop worker -Q mail\n",
            "heavy/Dockerfile": "FROM python\nCMD celery -A shop worker -Q reports,mail\n",
        },
        ("worker/Dockerfile", 2, "mail"),
    ),
    "a declared queue that nothing is sent to": (
        "queue-not-routed",
        {
            "shop/celery.py": APP
            + "from kombu import Exchange, Queue\n"
            + "app.conf.task_queues = [Queue('mail'), Queue('reports'), Queue('x', Exchange('x'), routing_key='x')]\n",
            "Procfile": "w: celery -A shop worker -Q celery,mail,reports,x\n",
        },
        ("Procfile", 1, "x"),
    ),
    "wrappers with options": (
        "queue-drained-by-two-images",
        {
            "docker-compose.yml": """
            services:
              a:
                image: one
                command: shop-runtime worker --queues mail
              b:
                image: two
                command: [shop-runtime, worker]
                environment: {SHOP_QUEUES: "mail,reports"}
            """
        },
        ("docker-compose.yml", 7, "mail"),
    ),
    "no worker for a route": (
        "queue-not-drained",
        {"shop/celery.py": APP, "docker-compose.yml": COMPOSE.replace("-Q reports", "-Q report")},
        ("shop/celery.py", 4, "reports"),
    ),
    "no worker for a decorator's queue": (
        "queue-not-drained",
        {
            "shop/tasks.py": "from celery import shared_task\n\n@shared_task(queue='slow')\ndef f(): ...\n",
            "Procfile": "worker: celery -A shop worker\n",
        },
        ("shop/tasks.py", 3, "slow"),
    ),
    "a queue that nothing is sent to": (
        "queue-not-routed",
        {"shop/celery.py": APP, "docker-compose.yml": COMPOSE.replace("-Q reports", "-Q reports,legacy")},
        ("docker-compose.yml", 10, "legacy"),
    ),
    "one image here, two there": (
        "surfaces-disagree",
        {
            "shop/celery.py": APP,
            "docker-compose.yml": COMPOSE,
            "k8s/worker.yaml": deployment("worker", "shop-worker", "worker, -Q, celery"),
            "k8s/heavy.yaml": deployment("heavy", "shop-heavy", "worker, -Q, 'reports,mail'"),
        },
        ("k8s/heavy.yaml", 13, "mail"),
    ),
    "images changed places": (
        "surfaces-disagree",
        {
            "docker-compose.yml": COMPOSE,
            "k8s/worker.yaml": deployment("worker", "shop-worker", "worker, -Q, reports"),
            "k8s/heavy.yaml": deployment("heavy", "shop-heavy", "worker, -Q, 'celery,mail'"),
        },
        ("k8s/heavy.yaml", 13, "celery"),
    ),
    "a queue is missing on a surface": (
        "surfaces-disagree",
        {"shop/celery.py": APP, "docker-compose.yml": COMPOSE, "k8s/worker.yaml": CLUSTER["k8s/worker.yaml"]},
        ("k8s/worker.yaml", 13, "reports"),
    ),
    "another concurrency": (
        "profiles-differ",
        {
            "docker-compose.yml": COMPOSE,
            **CLUSTER,
            "k8s/heavy.yaml": deployment("heavy", "shop-heavy", "worker, -Q, reports, -c, '8'"),
        },
        ("k8s/heavy.yaml", 13, "reports"),
    ),
    "a list that nobody drains": (
        "scaler-on-unknown-list",
        {**CLUSTER, "k8s/scaler.yaml": scaled_object("heavy", "report", "unacked:{reports}")},
        ("k8s/scaler.yaml", 10, "report"),
    ),
    "a list alone, with late acknowledgement": (
        "list-only-scaling",
        {
            "shop/celery.py": APP + "app.conf.task_acks_late = True\n",
            **CLUSTER,
            "k8s/scaler.yaml": scaled_object("heavy", "reports"),
        },
        ("k8s/scaler.yaml", 10, "reports"),
    ),
    "Kubernetes' default of 30 s": (
        "grace-below-hard-limit",
        {**CLUSTER, "k8s/heavy.yaml": deployment("heavy", "shop-heavy", "worker, -Q, reports, --time-limit=60")},
        ("k8s/heavy.yaml", 13, "reports"),
    ),
    "stop_grace_period below task_time_limit": (
        "grace-below-hard-limit",
        {
            "shop/celery.py": APP + "app.conf.task_time_limit = 10 * 60\n",
            "docker-compose.yml": COMPOSE + "    stop_grace_period: 1m30s\n",
        },
        ("docker-compose.yml", 10, "reports"),
    ),
    "TimeoutStopSec below a task's limit": (
        "grace-below-hard-limit",
        {
            "shop/t.py": "from celery import shared_task\n@shared_task(queue='slow', time_limit=900)\ndef f(): ...\n",
            "etc/worker.service": "[Service]\nExecStart=/venv/bin/celery -A shop worker -Q slow\nTimeoutStopSec=5min\n",
        },
        ("etc/worker.service", 2, "slow"),
    ),
    "stopwaitsecs below --time-limit": (
        "grace-below-hard-limit",
        {"etc/w.conf": "[program:w]\ncommand=celery -A shop worker -Q a --time-limit 600\nstopwaitsecs = 60\n"},
        ("etc/w.conf", 2, "a"),
    ),
    "visibility timeout below the hard limit": (
        "visibility-timeout-too-short",
        {
            "shop/celery.py": APP
            + "app.conf.update(broker_transport_options={'visibility_timeout': 300}, task_time_limit=600)\n"
        },
        ("shop/celery.py", 5, None),
    ),
    "visibility timeout below a countdown": (
        "visibility-timeout-too-short",
        {
            "shop/settings.py": "# celery\nSHOP_BROKER_TRANSPORT_OPTIONS = {'visibility_timeout': 60 * 60}\n",
            "shop/views.py": "from shop.tasks import f  # celery\nf.apply_async(countdown=2 * 60 * 60)\n",
        },
        ("shop/settings.py", 2, None),
    ),
    "an eta beyond Redis' default": (
        "visibility-timeout-too-short",
        {"shop/celery.py": APP + "f.apply_async(eta=now() + timedelta(hours=3))\n"},
        ("shop/celery.py", 5, None),
    ),
    "a priority without x-max-priority": (
        "priorities-unread",
        {"shop/celery.py": APP.replace("redis://redis", "amqp://rabbit") + "f.apply_async(priority=5, queue='mail')\n"},
        ("shop/celery.py", 5, "mail"),
    ),
    "x-max-priority on Redis": (
        "priorities-unread",
        {
            "shop/celery.py": APP
            + "from kombu import Queue\nQ = {'x-max-priority': 9}\n"
            + "app.conf.task_queues = [Queue('mail', queue_arguments=Q)]\n"
        },
        ("shop/celery.py", 7, "mail"),
    ),
    "a scaler that counts no priority": (
        "priorities-unread",
        {
            "shop/celery.py": APP + "f.apply_async(priority=6, queue='reports')\n",
            **CLUSTER,
            "k8s/scaler.yaml": scaled_object("heavy", "reports"),
        },
        ("k8s/scaler.yaml", 10, "reports"),
    ),
    "two services of beat": (
        "beat-twice",
        {
            "docker-compose.yml": COMPOSE
            + "  beat:\n    image: shop-worker\n    command: celery -A shop beat\n"
            + "  cron:\n    image: shop-worker\n    command: celery -A shop beat -l info\n"
        },
        ("docker-compose.yml", 16, None),
    ),
    "beat beside a worker with -B": (
        "beat-twice",
        {"Procfile": "w: celery -A shop worker -B\nbeat: celery -A shop beat\n"},
        ("Procfile", 2, None),
    ),
    "a worker with -B and replicas": (
        "beat-twice",
        {"k8s/w.yaml": deployment("w", "shop", "worker, -B", replicas=3)},
        ("k8s/w.yaml", 13, None),
    ),
    "a worker with -B that is scaled": (
        "beat-twice",
        {
            "k8s/w.yaml": deployment("w", "shop", "worker, -B"),
            "k8s/s.yaml": scaled_object("w", "celery", more="  maxReplicaCount: 4\n"),
        },
        ("k8s/w.yaml", 13, None),
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found_and_nothing_else(name: str, audited: Audit) -> None:
    rule, files, (path, line, queue) = DEFECTS[name]
    report = audited(files)
    found = told(report)
    assert (rule, path, line, queue) in found
    # A list alone is also what misses priorities, and a misspelt name is missing at both ends.
    also = {
        "priorities-unread": {"list-only-scaling"},
        "queue-not-drained": {"queue-not-routed"},
        "beat-twice": {"list-only-scaling"},
    }.get(rule, set())
    assert {each[0] for each in found} <= {rule, *also}, found
    finding = next(each for each in report.findings if each.rule == rule)
    assert finding.evidence
    assert finding.why
    assert finding.what_to_do


def test_every_rule_has_a_planted_defect() -> None:
    assert {rule for rule, _, _ in DEFECTS.values()} == {rule.id for rule in RULES}


NEAR_MISSES: dict[str, Files] = {
    "one image by two names of its registry and tag": {
        "docker-compose.yml": """
        services:
          a: {image: "ghcr.io/shop/app:1", command: celery -A shop worker -Q mail}
          b: {image: "app@sha256:00", command: celery -A shop worker -Q mail}
        """
    },
    "one build under two image names": {
        "docker-compose.yml": """
        x-app: &app
          build: .
        services:
          a: {<<: *app, image: shop_a, command: celery -A shop worker -Q mail}
          b: {<<: *app, image: shop_b, command: celery -A shop worker -Q mail}
        """
    },
    "images in profiles that exclude each other": {
        "docker-compose.yml": """
        services:
          cpu: {image: a, profiles: [cpu], command: celery -A shop worker -Q mail}
          gpu: {image: b, profiles: [gpu], command: celery -A shop worker -Q mail}
        """
    },
    "an image that nobody names": {
        "docker-compose.yml": """
        services:
          a: {image: a, command: celery -A shop worker -Q mail}
          b: {image: "${IMAGE}", command: celery -A shop worker -Q mail}
          c: {command: celery -A shop worker -Q mail}
        """
    },
    "alternative Compose files": {
        "docker-compose.yml": "services:\n  w: {image: a, command: celery -A shop worker -Q mail}\n",
        "docker-compose.prod.yml": "services:\n  w: {image: b, command: celery -A shop worker -Q mail}\n",
    },
    "two applications with their default queue": {
        "docker-compose.yml": """
        services:
          a: {image: a, command: celery -A one worker}
          b: {image: b, command: celery -A two worker}
        """
    },
    "two applications that both name it default": {
        "docker-compose.yml": """
        services:
          a: {image: a, command: celery -A one worker -Q default}
          b: {image: b, command: celery -A two worker -Q default}
        """
    },
    "two brokers": {
        "docker-compose.yml": """
        services:
          a: {image: a, command: celery -A s worker -Q mail, environment: {BROKER_URL: "redis://redis/0"}}
          b: {image: b, command: celery -A s worker -Q mail, environment: {BROKER_URL: "redis://redis/1"}}
        """
    },
    "workers in files of another form": {
        "shop/celery.py": APP,
        "Procfile": "w: celery -A shop worker\n",
        "fly.toml": '[processes]\nmail = "celery -A shop worker -Q mail"\n',
        "ecs/task.json": '{"command": [\n"celery", "-A", "shop", "worker", "-Q", "reports"]}',
    },
    "workers that the code starts": {
        "shop/celery.py": APP
        + "app.worker_main(['worker', '-Q', 'mail', '-l', 'info'])\n"
        + "subprocess.run(['celery', '-A', 'shop', 'worker', '-Q', 'reports'])\n"
        + "app.Worker(queues=['celery']).start()\n"
    },
    "two namespaces": {
        "k8s/a.yaml": deployment("a", "one", "worker, -Q, mail").replace("{name: a}", "{name: a, namespace: x}"),
        "k8s/b.yaml": deployment("b", "two", "worker, -Q, mail").replace("{name: b}", "{name: b, namespace: y}"),
    },
    "a Dockerfile for production": {
        "Dockerfile": "FROM python\nCMD celery -A shop worker -Q mail\n",
        "Dockerfile.prod": "FROM python\nCMD celery -A shop worker -Q mail\n",
    },
    "queues from a variable without default": {
        "shop/celery.py": APP,
        "docker-compose.yml": "services:\n  w: {image: a, command: 'celery -A shop worker -Q ${QUEUES}'}\n",
    },
    "a worker that nobody can read": {
        "shop/celery.py": APP,
        "docker-compose.yml": "services:\n  w: {image: a, command: celery -A shop worker}\n  x-worker: {image: b}\n",
    },
    "all of task_queues without -Q": {
        "shop/celery.py": APP
        + "from kombu import Queue\napp.conf.task_queues = [Queue(n) for n in ('mail', 'reports', 'celery')]\n",
        "Procfile": "w: celery -A shop worker\n",
    },
    "no deployment at all": {"shop/celery.py": APP},
    "a route in a test": {
        "shop/celery.py": "from celery import Celery\napp = Celery()\n",
        "tests/test_routes.py": "from shop.celery import app\napp.conf.task_routes = {'a': {'queue': 'nowhere'}}\n",
        "Procfile": "w: celery -A shop worker\n",
    },
    "arguments of tasks and of caches": {
        "shop/celery.py": APP.replace("redis://redis", "amqp://rabbit")
        + "f.s(queue='nowhere').delay()\ncache.set('k', 1, queue='nowhere', priority=5)\n",
        "Procfile": "w: celery -A shop worker -Q celery,mail,reports\n",
    },
    "a task of another repository": {
        "shop/celery.py": "from celery import Celery\napp = Celery()\napp.send_task('billing.pay', queue='billing')\n",
        "Procfile": "w: celery -A shop worker\n",
    },
    "a queue that is computed somewhere": {
        "shop/celery.py": APP + "def go(name): f.apply_async(queue=name)\n",
        "docker-compose.yml": COMPOSE.replace("-Q reports", "-Q reports,legacy"),
    },
    "a queue whose name stands in the code": {
        "shop/celery.py": APP + "LEGACY = 'legacy'\n",
        "docker-compose.yml": COMPOSE.replace("-Q reports", "-Q reports,legacy"),
    },
    "environments of their own size": {
        "compose.dev.yml": "services:\n  w: {image: a, command: celery -A shop worker -Q mail -c 1}\n",
        "compose.prod.yml": "services:\n  w: {image: a, command: celery -A shop worker -Q mail -c 16}\n",
    },
    "the lists of priorities, and running tasks": {
        "shop/celery.py": APP + "app.conf.task_acks_late = True\nf.apply_async(priority=6)\n",
        **CLUSTER,
        "k8s/scaler.yaml": scaled_object("heavy", "reports", '"reports\\x06\\x166"', "'unacked:{reports}'"),
    },
    "a list alone, with early acknowledgement": {
        "shop/celery.py": APP,
        **CLUSTER,
        "k8s/scaler.yaml": scaled_object("heavy", "reports"),
    },
    "somebody else's list": {"k8s/scaler.yaml": scaled_object("sidekiq", "queue:default")},
    "a prefix of keys": {
        "shop/celery.py": APP + "app.conf.broker_transport_options = {'global_keyprefix': 'shop:'}\n",
        **CLUSTER,
        "k8s/scaler.yaml": scaled_object("heavy", "shop:reports"),
    },
    "a grace period above the limit": {
        "k8s/w.yaml": deployment("w", "shop", "worker, --time-limit=600", grace="terminationGracePeriodSeconds: 660"),
    },
    "a soft shutdown within the grace period": {
        "shop/celery.py": APP + "app.conf.update(worker_soft_shutdown_timeout=20, task_time_limit=9000)\n",
        **CLUSTER,
    },
    "Compose's default, which nobody chose": {
        "shop/celery.py": APP + "app.conf.task_time_limit = 600\n",
        "docker-compose.yml": COMPOSE,
    },
    "no hard limit": CLUSTER,
    "a visibility timeout above all": {
        "shop/celery.py": APP
        + "app.conf.broker_transport_options = {'visibility_timeout': 7200}\n"
        + "app.conf.task_time_limit = 3600\nf.apply_async(countdown=7000)\n",
    },
    "an eta on RabbitMQ": {
        "shop/celery.py": APP.replace("redis://redis", "amqp://rabbit") + "f.apply_async(countdown=86400)\n",
    },
    "a visibility timeout from a variable": {
        "shop/celery.py": APP
        + "app.conf.broker_transport_options = {'visibility_timeout': env('V')}\nf.apply_async(countdown=86400)\n",
    },
    "a priority with task_queue_max_priority": {
        "shop/celery.py": APP.replace("redis://redis", "amqp://rabbit")
        + "app.conf.task_queue_max_priority = 9\nf.apply_async(priority=5)\n",
    },
    "beat of two applications": {"Procfile": "a: celery -A one beat\nb: celery -A two beat\n"},
    "RedBeat, which has a lock": {
        "k8s/b.yaml": deployment("b", "shop", "beat, -S, redbeat.RedBeatScheduler", replicas=2)
    },
    "one worker with -B": {"Procfile": "w: celery -A shop worker -B\n"},
    "beat in alternatives": {
        "Procfile": "b: celery -A shop beat\n",
        "docker-compose.yml": "services:\n  b: {image: a, command: celery -A shop beat}\n",
        "Makefile": "beat:\n\tcelery -A shop beat\n",
    },
    "a watchdog that names beat": {
        "supervisord.conf": """
        [program:beat]
        command=celery -A shop beat
        [program:watchdog]
        command=python watch.py --program celery_beat
        [program:logs]
        command=tail -F /var/log/celery_beat.log /var/log/celery_worker.log
        """
    },
    "other task queues": {
        "docker-compose.yml": """
        services:
          a: {image: a, command: rq worker high mail}
          b: {image: b, command: dramatiq app --queues mail}
          c: {image: c, command: python manage.py rqworker mail}
        """
    },
    "examples": {
        "examples/docker-compose.yml": """
        services:
          a: {image: a, command: celery -A shop worker -Q mail}
          b: {image: b, command: celery -A shop worker -Q mail}
        """
    },
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_clean(name: str, audited: Audit) -> None:
    assert told(audited(NEAR_MISSES[name])) == []


def test_a_guess_says_that_it_is_one(audited: Audit) -> None:
    report = audited(DEFECTS["wrappers with options"][1])
    finding = report.findings[0]
    assert not finding.certain
    assert any("concluded" in text for text in finding.evidence)


def test_this_repository_is_clean(root: Path) -> None:
    report = audit(root)
    assert told(report) == []
    assert not report.facts.unreadable
    drained = {queue for drain in report.facts.drains for queue in drain.explicit}
    assert {"default", "training"} <= drained, "clean because nothing was read is not clean"
