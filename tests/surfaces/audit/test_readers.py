"""Each source is read as the program that it is for reads it: merges, defaults, inheritance, patches, templates."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from surfaces.audit.model import Drain, Facts
from surfaces.audit.rules.context import Context
from tests.surfaces.audit.conftest import Audit

Drained = Callable[[Mapping[str, str]], dict[str, tuple[str, ...]]]


@pytest.fixture
def facts(audited: Audit) -> Callable[[Mapping[str, str]], Facts]:
    """What is known of planted files."""
    return lambda files: audited(files).facts


@pytest.fixture
def drained(audited: Audit) -> Drained:
    """The explicit queues by unit."""
    return lambda files: {drain.unit.name: drain.explicit for drain in audited(files).facts.drains}


def the_drain(facts: Facts) -> Drain:
    (drain,) = facts.drains
    return drain


# Python


def routes(facts: Facts) -> set[tuple[str, str]]:
    return {(route.source, route.queue) for route in facts.code.routes}


@pytest.mark.parametrize(
    "text",
    [
        "app.conf.task_routes = {'shop.*': {'queue': 'a'}}",
        "app.conf.task_routes = {'shop.*': 'a'}",
        "app.conf.task_routes = ({'shop.*': {'queue': 'a'}},)",
        "app.conf.task_routes = [('shop.*', {'queue': 'a'}), (re.compile('x'), 'a')]",
        "app.conf.update(task_routes={'shop.*': {'queue': 'a'}})",
        "app.conf['task_routes'] = {'shop.*': {'queue': 'a'}}",
        "app.conf.task_routes.update({'shop.*': {'queue': 'a'}})",
        "app.conf.task_routes['shop.*'] = {'queue': 'a'}",
        "app = Celery('shop', task_routes={'shop.*': {'queue': 'a'}})",
        "CELERY_TASK_ROUTES = {'shop.*': {'queue': 'a'}}",
        "SHOP_TASK_ROUTES = {'shop.*': {'queue': 'a'}}",
        "CELERY_ROUTES = {'shop.*': {'queue': 'a'}}",
        "task_routes = {'shop.*': {'queue': 'a'}}",
        "CELERY = {'task_routes': {'shop.*': {'queue': 'a'}}}",
        "CELERY = dict(task_routes={'shop.*': {'queue': 'a'}})",
        "class CeleryConfig:\n    task_routes = {'shop.*': {'queue': 'a'}}",
        "class Base:\n    CELERY_TASK_ROUTES: dict = {'shop.*': {'queue': 'a'}}",
        "if DEBUG:\n    task_routes = {'shop.*': {'queue': 'a'}}",
        "Q = 'a'\ntask_routes = {'shop.*': {'queue': Q}}",
        "class Q(str, Enum):\n    A = 'a'\ntask_routes = {'shop.*': {'queue': Q.A.value}}",
        "P = 'a'\ntask_routes = {'shop.*': {'queue': f'{P}'}}",
        "NAMES = ('a',)\ntask_routes = {f'shop.{n}.*': {'queue': n} for n in NAMES}",
        "R = {'shop.*': {'queue': 'a'}}\ntask_routes = {**R, **{}}",
        "task_routes = {'shop.*': {'queue': os.environ.get('Q', 'a')}}",
        "task_routes = {'shop.*': {'queue': os.getenv('Q') or 'a'}}",
        "task_routes = {'shop.*': {'queue': env.str('Q', default='a')}}",
    ],
)
def test_task_routes_are_found_in_any_spelling(text: str, facts: Callable[[Mapping[str, str]], Facts]) -> None:
    found = facts({"shop/celery_settings.py": f"from celery import Celery\n{text}\n"})
    assert routes(found) == {("task_routes", "a")}
    assert not found.code.opaque


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("@app.task(queue='a')\ndef f(): ...", "decorator"),
        ("@shared_task(bind=True, queue='a')\ndef f(self): ...", "decorator"),
        ("class F(Task):\n    queue = 'a'", "decorator"),
        ("f.apply_async(args=[1], queue='a')", "apply_async"),
        ("f.s(1).set(queue='a').delay()", "set"),
        ("f.si().apply_async(queue='a')", "apply_async"),
        ("signature('shop.f', queue='a')", "signature"),
        ("@app.task\ndef f(): ...\napp.send_task('shop.f', queue='a')", "send_task"),
        ("self.retry(queue='a')", "retry"),
        ("app.conf.beat_schedule = {'x': {'task': 'f', 'options': {'queue': 'a'}}}", "beat_schedule"),
        ("CELERY_TASK_DEFAULT_QUEUE = 'a'", "task_default_queue"),
        ("def route_for_task(name, *args):\n    if name:\n        return {'queue': 'a'}", "router"),
    ],
)
def test_queues_are_found_wherever_tasks_are_sent(
    text: str, source: str, facts: Callable[[Mapping[str, str]], Facts]
) -> None:
    assert routes(facts({"shop/tasks.py": f"import celery\n{text}\n"})) == {(source, "a")}


@pytest.mark.parametrize(
    "text",
    [
        "task_routes = ('shop.routers.Router',)",
        "def go(q):\n    f.apply_async(queue=q)",
        "f.apply_async(**options)",
        "f.apply_async(queue=f'tenant-{tenant}')",
        "task_routes = {'x': {'queue': os.environ['Q']}}",
        "f.apply_async(queue='a' if urgent else 'b')",
    ],
)
def test_a_computed_queue_is_known_to_be_unknown(text: str, facts: Callable[[Mapping[str, str]], Facts]) -> None:
    found = facts({"shop/tasks.py": f"import celery\n{text}\n"})
    assert found.code.opaque
    assert not found.code.routes


def test_constants_are_followed_through_imports(facts: Callable[[Mapping[str, str]], Facts]) -> None:
    found = facts(
        {
            "shop/names/__init__.py": "from .queues import MAIL\n",
            "shop/names/queues.py": "MAIL = 'mail'\nclass Q:\n    SLOW = 'slow'\nALL = [MAIL, Q.SLOW]\n",
            "shop/tasks.py": "from celery import Celery\nfrom kombu import Queue\n"
            "from shop.names import MAIL\nfrom .names.queues import ALL, Q\nfrom .names import queues\n"
            "f.apply_async(queue=MAIL)\nf.apply_async(queue=Q.SLOW)\nf.apply_async(queue=queues.MAIL)\n"
            "task_queues = [Queue(name) for name in ALL]\n",
        }
    )
    assert {route.queue for route in found.code.routes} == {"mail", "slow"}
    assert [declared.queue for declared in found.code.declared] == ["mail", "slow"]
    assert not found.code.opaque


def test_an_enum_can_be_iterated(facts: Callable[[Mapping[str, str]], Facts]) -> None:
    text = "import celery\nclass Q(Enum):\n    A = 'a'\n    B = 'b'\ntask_queues = [Queue(q.value) for q in Q]\n"
    assert {declared.queue for declared in facts({"c.py": text}).code.declared} == {"a", "b"}


def test_a_name_that_stands_for_itself_ends(facts: Callable[[Mapping[str, str]], Facts]) -> None:
    found = facts({"c.py": "import celery\nA = B\nB = A\ntask_routes = {'x': {'queue': A}}\n"})
    assert found.code.opaque


# Compose


def test_compose_expands_defaults_env_files_and_dollars(drained: Drained) -> None:
    files = {
        ".env": "SLOW=slow\n",
        "env/worker": "QS=d,e\n",
        "docker-compose.yml": """
        services:
          a: {image: x, command: "celery -A s worker -Q ${A:-a1,a2}"}
          b: {image: x, command: "celery -A s worker -Q ${SLOW}"}
          c: {image: x, command: sh -c "celery -A s worker -Q $$QS", environment: [QS=c]}
          d: {image: x, command: ["sh", "-c", "celery -A s worker -Q $$QS"], env_file: env/worker}
        """,
    }
    assert drained(files) == {"a": ("a1", "a2"), "b": ("slow",), "c": ("c",), "d": ("d", "e")}


def test_compose_merges_anchors_extends_includes_and_overrides(drained: Drained) -> None:
    files = {
        "docker-compose.yml": """
        x-worker: &worker
          image: x
          command: celery -A s worker -Q base
        include: [more/compose.yml]
        services:
          a: *worker
          b: {<<: *worker, command: celery -A s worker -Q b}
          c: {extends: {service: b}}
          d: {extends: {file: more/common.yml, service: w}}
          e: {image: x, command: celery -A s worker -Q before}
        """,
        "docker-compose.override.yml": "services:\n  e: {command: celery -A s worker -Q after}\n",
        "more/compose.yml": "services:\n  f: {image: x, command: celery -A s worker -Q f}\n",
        "more/common.yml": "services:\n  w: {image: x, command: celery -A s worker -Q d}\n",
    }
    found = drained(files)
    assert {name: queues[0] for name, queues in found.items() if name in "abcdef"} == {
        "a": "base", "b": "b", "c": "b", "d": "d", "e": "after", "f": "f",
    }  # fmt: skip


def test_an_overlay_without_images_is_merged_into_its_base(audited: Audit) -> None:
    report = audited(
        {
            "docker-compose.yml": "services:\n  w: {image: x, command: celery -A s worker -Q a}\n",
            "docker-compose.prod.yml": "services:\n  w: {command: celery -A s worker -Q b, stop_grace_period: 20s}\n",
        }
    )
    by_surface = {drain.surface.name: drain for drain in report.facts.drains}
    assert by_surface["docker-compose.prod.yml"].unit.image == "x"
    assert by_surface["docker-compose.prod.yml"].unit.grace == 20
    assert by_surface["docker-compose.yml"].explicit == ("a",)


def test_a_service_without_command_runs_its_images(drained: Drained) -> None:
    files = {
        "docker-compose.yml": """
        services:
          a: {build: {context: app, target: worker}}
          b: {build: {context: app, dockerfile: Dockerfile, target: worker}, command: "-Q b"}
          c: {build: app, command: /start-slow}
        """,
        "app/Dockerfile": """
        FROM python AS base
        ENV QS=from-env
        FROM base AS worker
        ENTRYPOINT ["celery", "-A", "s", "worker"]
        CMD ["-Q", "a"]
        FROM base
        COPY ./scripts/slow /start-slow
        """,
        "app/scripts/slow": "#!/bin/sh\nexec celery -A s worker -Q $QS\n",
    }
    found = drained(files)
    assert (found["a"], found["b"], found["c"]) == (("a",), ("b",), ("from-env",))


def test_a_stack_file_of_any_name_is_a_compose_file(drained: Drained) -> None:
    assert drained({"deploy/stack.yml": "services:\n  w: {image: x, command: celery -A s worker -Q a}\n"}) == {
        "w": ("a",)
    }


# Kubernetes, Kustomize, Helm, Terraform


POD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: w}
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 60
      containers:
      - name: w
        image: shop
        args: ["celery", "-A", "s", "worker", "-Q", "$(QS)", "-c", "2"]
        env:
        - {name: QS, value: a}
        - {name: OTHER, value: x}
"""


def test_kubernetes_expands_its_own_variables(facts: Callable[[Mapping[str, str]], Facts]) -> None:
    drain = the_drain(facts({"k8s/w.yaml": POD}))
    assert drain.explicit == ("a",)
    assert (drain.unit.grace, drain.invocation.concurrency, drain.location.line) == (60, 2, 11)


def test_kubernetes_reads_config_maps_and_lists(drained: Drained) -> None:
    files = {
        "k8s/all.yaml": """
        apiVersion: v1
        kind: List
        items:
        - kind: ConfigMap
          metadata: {name: c}
          data: {QS: "a,b"}
        - kind: CronJob
          metadata: {name: w}
          spec:
            jobTemplate:
              spec:
                template:
                  spec:
                    containers:
                    - name: w
                      command: [sh, -c, "celery -A s worker -Q $QS"]
                      envFrom: [{configMapRef: {name: c}}]
        """
    }
    assert drained(files) == {"w": ("a", "b")}


PATCHES = {
    "strategic": "patches:\n- path: p.yaml\n",
    "strategic, the old key": "patchesStrategicMerge: [p.yaml]\n",
    "JSON 6902": "patches:\n- target: {kind: Deployment}\n  patch: |-\n"
    "    - {op: replace, path: /spec/template/spec/containers/0/env/0/value, value: b}\n",
}


@pytest.mark.parametrize("patch", PATCHES)
def test_kustomize_applies_patches(patch: str, audited: Audit) -> None:
    strategic = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w}\nspec: {template: {spec: {containers: "
        "[{name: w, env: [{name: QS, value: b}]}]}}}\n"
    )
    report = audited(
        {
            "k/base/kustomization.yaml": "resources: [w.yaml]\n",
            "k/base/w.yaml": POD,
            "k/over/kustomization.yaml": "resources: [../base]\nnamespace: n\n"
            "images: [{name: shop, newName: r/other}]\n" + PATCHES[patch],
            "k/over/p.yaml": strategic,
        }
    )
    drain = the_drain(report.facts)
    assert drain.explicit == ("b",), "the base alone is no surface"
    assert (drain.surface.kind, drain.surface.name) == ("kustomize", "k/over")
    assert (drain.unit.image, drain.unit.namespace) == ("r/other", "n")


def test_a_kustomize_component_may_delete(drained: Drained) -> None:
    files = {
        "k/base/kustomization.yaml": "resources: [w.yaml]\n",
        "k/base/w.yaml": POD,
        "k/c/kustomization.yaml": """
        kind: Component
        resources: [v.yaml]
        patches:
        - patch: |-
            kind: Deployment
            metadata: {name: w}
            $patch: delete
        """,
        "k/c/v.yaml": POD.replace("name: w}", "name: v}").replace("value: a", "value: b"),
        "k/over/kustomization.yaml": "resources: [../base]\ncomponents: [../c]\n",
    }
    assert drained(files) == {"v": ("b",)}


CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\nappVersion: '7'\n",
    "chart/values.yaml": """
    image: {repository: r/shop}
    workers:
      mail: {queues: [mail, celery], concurrency: 4}
      slow: {queues: [slow]}
    more: {enabled: false}
    """,
    "chart/templates/_helpers.tpl": """
    {{- define "shop.name" -}}
    {{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
    {{- end }}
    """,
    "chart/templates/worker.yaml": """
    {{- range $name, $worker := .Values.workers }}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: {{ include "shop.name" $ }}-{{ $name }}
      labels: {{- include "shop.labels" $ | nindent 8 }}
    spec:
      template:
        spec:
          containers:
          - name: worker
            image: "{{ $.Values.image.repository }}:{{ $.Values.image.tag | default $.Chart.AppVersion }}"
            command: ["celery", "-A", "shop", "worker"]
            args:
            - -Q
            - {{ join "," $worker.queues | quote }}
            {{- with $worker.concurrency }}
            - --concurrency={{ . }}
            {{- end }}
    {{- end }}
    {{- if .Values.more.enabled }}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: more}
    spec: {template: {spec: {containers: [{name: w, image: x, args: [celery, -A, shop, worker, -Q, more]}]}}}
    {{- end }}
    """,
}


def test_a_chart_is_rendered_with_its_values(audited: Audit) -> None:
    report = audited(CHART)
    assert {drain.unit.name: drain.explicit for drain in report.facts.drains} == {
        "release-name-shop-mail": ("mail", "celery"),
        "release-name-shop-slow": ("slow",),
    }
    mail = report.facts.drains[0]
    assert (mail.invocation.concurrency, mail.unit.image) == (4, "r/shop:7")
    assert (mail.location.path, mail.location.line) == ("chart/templates/worker.yaml", 15), "the template's line"
    assert not report.facts.unreadable


def test_a_chart_is_rendered_with_other_values_too(audited: Audit) -> None:
    report = audited(
        {**CHART, "chart/values-prod.yaml": "workers: {slow: {queues: [slower]}}\nmore: {enabled: true}\n"}
    )
    by_surface = {(drain.surface.name, drain.explicit) for drain in report.facts.drains}
    assert ("chart", ("slow",)) in by_surface
    assert ("chart/values-prod.yaml", ("slower",)) in by_surface
    assert ("chart/values-prod.yaml", ("more",)) in by_surface


def test_what_a_chart_cannot_say_is_open(audited: Audit) -> None:
    worker = CHART["chart/templates/worker.yaml"].replace('join "," $worker.queues | quote', 'lookup "v1" "x" | toFoo')
    report = audited({**CHART, "chart/templates/worker.yaml": worker})
    context = Context(report.facts)
    assert report.facts.drains
    assert all(context.is_open(drain) for drain in report.facts.drains)


TERRAFORM = """
variable "queues" { default = "mail,celery" }
locals {
  slow = ["slow", "slower"]
  image = "${aws_ecr_repository.shop.repository_url}/shop:1"
}
resource "aws_ecs_task_definition" "mail" {
  family = "mail"
  container_definitions = jsonencode([
    {
      name        = "mail" # a comment
      image       = local.image
      command     = ["celery", "-A", "shop", "worker", "-Q", var.queues, "-c", "2"]
      stopTimeout = 120
      environment = [{ name = "A", value = "b" }]
    },
  ])
}
resource "kubernetes_deployment" "slow" {
  spec {
    template {
      spec {
        termination_grace_period_seconds = 90
        container {
          name  = "slow"
          image = "r/heavy:1"
          args  = ["celery", "-A", "shop", "worker", "-Q", join(",", local.slow)]
          env {
            name  = "X"
            value = "y"
          }
        }
      }
    }
  }
}
resource "aws_ecs_task_definition" "json" {
  container_definitions = <<EOF
[{"name": "json", "image": "x", "command": ["celery", "-A", "shop", "worker", "-Q", "${var.other}"]}]
EOF
}
"""


def test_terraforms_containers_are_found(audited: Audit) -> None:
    report = audited({"infra/main.tf": TERRAFORM, "infra/terraform.tfvars": 'queues = "mail"\n'})
    drains = {drain.unit.name: drain for drain in report.facts.drains}
    assert drains["mail"].explicit == ("mail",), "tfvars win over a default"
    assert (drains["mail"].unit.grace, drains["mail"].location.line) == (120, 12)
    assert drains["slow"].explicit == ("slow", "slower")
    assert drains["slow"].unit.grace == 90
    assert drains["json"].invocation.is_open, "a variable without a value is not known"


# What machines run


def test_supervisor_joins_lines_and_ignores_comments(drained: Drained) -> None:
    files = {
        "etc/shop.conf": """
        [program:w]
        command=/venv/bin/celery -A shop worker
            -n w@%%h
            -Q a,b  ; both
        environment=A="b",C="d"
        [program:web]
        command=gunicorn shop
        """
    }
    assert drained(files) == {"w": ("a", "b")}


def test_systemd_reads_its_environment(audited: Audit) -> None:
    report = audited(
        {
            "etc/celery.service": """
            [Service]
            EnvironmentFile=-/etc/default/celery
            Environment=QS=a
            ExecStart=/bin/sh -c '${CELERY_BIN} multi start $CELERYD_NODES -A $CELERY_APP \\
                -Q $QS --time-limit=300'
            TimeoutStopSec=10min 5s
            """,
            "etc/celery": "CELERY_BIN=/venv/bin/celery\nCELERY_APP=shop\nCELERYD_NODES='w1 w2'\n",
        }
    )
    drain = the_drain(report.facts)
    assert drain.explicit == ("a",)
    assert (drain.invocation.time_limit, drain.unit.grace) == (300, 605)


def test_a_procfile_a_makefile_and_a_script_are_read(drained: Drained) -> None:
    files = {
        "Procfile": "web: gunicorn shop\nworker: celery -A shop worker -Q ${Q:-a}\n",
        "Makefile": "APP ?= shop\nworker:\n\t@celery -A $(APP) worker -Q b\n",
        "bin/run.sh": "#!/bin/bash\nset -e\ncelery -A shop worker -Q c\n",
        "bin/beat": "#!/bin/sh\ncelery -A shop worker -Q d\n",
    }
    assert drained(files) == {"worker": ("a",), "Makefile": ("b",), "bin/run.sh": ("c",), "bin/beat": ("d",)}


def test_a_dockerfiles_continued_lines_arguments_and_heredocs_are_read(drained: Drained) -> None:
    files = {
        "Dockerfile": """
        ARG QS=a
        FROM python AS base
        ARG QS
        ENV QUEUES=${QS},b \\
            # a comment within
            OTHER="x y"
        RUN <<EOF
        celery -A s worker -Q never
        EOF
        FROM base AS worker
        CMD celery -A s worker \\
            -Q $QUEUES
        """
    }
    assert drained(files) == {"worker": ("a", "b")}


def test_an_entrypoint_resets_the_command_of_its_base(drained: Drained) -> None:
    files = {
        "Dockerfile": """
        FROM python AS base
        CMD ["celery", "-A", "s", "worker", "-Q", "base"]
        FROM base AS worker
        ENTRYPOINT ["celery", "-A", "s", "worker"]
        """
    }
    assert drained(files) == {"worker": ()}


def test_a_soft_limit_in_a_variable_is_no_hard_one(audited: Audit) -> None:
    command = "services:\n  w: {image: a, command: celery -A s worker, environment: {X_SOFT_TIME_LIMIT: 9, %s}}\n"
    assert the_drain(audited({"compose.yml": command % "A: b"}).facts).time_limit is None
    assert the_drain(audited({"compose.yml": command % "X_TIME_LIMIT: 10"}).facts).time_limit == 10


# Folders that are not read


@pytest.mark.parametrize("folder", ["node_modules", ".git", ".venv", "vendor", "lib/site-packages"])
def test_installed_and_vendored_folders_are_skipped(folder: str, audited: Audit) -> None:
    assert not audited({f"{folder}/x/Procfile": "w: celery -A s worker -Q a\n"}).facts.drains


def test_links_do_not_lead_out_or_around(audited: Audit, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "around").symlink_to(".")
    assert audited({"Procfile": "w: celery -A s worker -Q a\n"}).facts.files == 1
