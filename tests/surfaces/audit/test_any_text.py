"""No text breaks a reader, and none keeps it from ending: a checkout is somebody else's."""

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from surfaces.audit import dockerfile, supervision, terraform
from surfaces.audit.gotemplate import Renderer, TemplateError, parse
from surfaces.audit.walk import is_aside, joined
from surfaces.audit.yaml_lines import YamlError, documents

pytestmark = pytest.mark.filterwarnings("error")


def texts(words: str) -> st.SearchStrategy[str]:
    """Texts of a language's own words, joined with and without spaces, and any text at all."""
    parts = st.lists(st.sampled_from([*words.split(), " ", "\n", '"', "a", "1", "0"]), max_size=40)
    return st.one_of(st.text(max_size=200), parts.map("".join), parts.map(" ".join))


TEMPLATE = texts(
    "{{ {{- }} -}} if else end range with define include tpl . .Values .a $x := | ( ) , default quote eq toYaml"
)


@given(TEMPLATE)
@example("{{ range $i, $x := .Values }}{{ end }}")
@example('{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}')
@example('{{ tpl "{{ tpl . . }}" . }}')
def test_any_template_renders_or_is_an_error(text: str) -> None:
    with contextlib.suppress(TemplateError, RecursionError):
        Renderer({"Values": {"a": [1, {"a": "b"}], "b": "{{ .Values.b }}"}}).render(parse(text))


@given(
    texts('resource "x" { } [ ] ( ) = : , ${ } <<EOF EOF for in => ? var.a local.b jsonencode( # // /* */ true null')
)
def test_any_text_is_some_terraform(text: str) -> None:
    terraform.parse(text)


@given(texts("FROM AS ENV ARG CMD ENTRYPOINT COPY RUN LABEL [ ] = \\ <<EOF EOF # --from=x ${A} ${A:-b} python base"))
def test_any_text_is_some_dockerfile(text: str) -> None:
    for stage in dockerfile.stages("Dockerfile", text):
        dockerfile.run(stage.entrypoint, stage.cmd)


@given(texts("[program:a] [Service] command= ExecStart= ; # \\ = :"))
def test_any_text_is_some_ini_file(text: str) -> None:
    supervision.sections(text, continued="\\")
    supervision.sections(text, continued=" ")


@settings(deadline=None)
@given(texts("a: - [ ] { } & * << !x | > --- ... ? , # ' \" 2020-13-45 0x 1:2 ="))
@example("&a [*a]")
@example("&a {<<: *a}")
@example("a: !!python/object:os.system x")
@example("a: !!timestamp x")
def test_any_text_is_yaml_or_an_error_with_a_line(text: str) -> None:
    lines = []
    try:
        documents(text)
    except YamlError as error:
        lines.append(error.line)
    assert all(line >= 1 for line in lines)


@example("a/../..", "b")
@example("a/../b", "..")
@given(st.text(alphabet="ab./", max_size=12), st.text(alphabet="ab./", max_size=12))
def test_a_path_never_leaves_the_checkout(folder: str, path: str) -> None:
    found = joined(folder.strip("./"), path)
    assert found is None or ".." not in found.split("/")


@pytest.mark.parametrize(
    ("path", "aside"),
    [
        ("shop/celery.py", False),
        ("tests/x.py", True),
        ("shop/tests/x.py", True),
        ("shop/test_x.py", True),
        ("docs/docker-compose.yml", True),
        ("Examples/k8s/w.yaml", True),
        ("contest/w.py", False),
        ("testimonials/tasks.py", False),
    ],
)
def test_tests_documentation_and_examples_are_aside(path: str, aside: bool) -> None:
    assert is_aside(path) is aside
