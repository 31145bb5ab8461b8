"""Every component has the house's shape: found by walking the source, so that a new one cannot be forgotten."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

COMPONENTS = Path(__file__).parents[2] / "components"
EXPECTED = {
    "Fleet", "FleetImages", "Foundation", "ImageRegistry", "ImageRepository", "MultiArchImage", "Unit",
    "WorkloadIdentity",
}  # fmt: skip
FILES = sorted(COMPONENTS.rglob("*.py"))


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    """Every component of the folder, with its file."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and any("ComponentResource" in ast.unparse(base) for base in node.bases):
                yield file, node


FOUND = list(classes())
every_component = pytest.mark.parametrize(
    "component", [node for _, node in FOUND], ids=[node.name for _, node in FOUND]
)


def constructor(component: ast.ClassDef) -> ast.FunctionDef:
    """The component's `__init__`. Raises LookupError when it has none."""
    for node in component.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return node
    raise LookupError(f"{component.name} has no constructor of its own")


def called(node: ast.AST) -> str:
    """The name of what is called, or nothing."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def test_the_walk_finds_every_component() -> None:
    assert {node.name for _, node in FOUND} == EXPECTED
    assert len(FOUND) == len(EXPECTED), "two components share a name"
    assert len({file for file, _ in FOUND}) == len(FOUND), "one file, one component"


@every_component
def test_a_component_registers_its_outputs_last_and_on_every_path(component: ast.ClassDef) -> None:
    init = constructor(component)
    last = init.body[-1]
    assert isinstance(last, ast.Expr), f"{component.name} goes on after its outputs"
    assert called(last.value) == "self.register_outputs"
    calls = [node for node in ast.walk(component) if called(node) == "self.register_outputs"]
    assert len(calls) == 1
    assert not [node for node in ast.walk(init) if isinstance(node, ast.Return)], "a path leaves without outputs"


@every_component
def test_a_component_hands_its_callers_options_to_nobody_but_itself(component: ast.ClassDef) -> None:
    init = constructor(component)
    uses = [node for node in ast.walk(init) if isinstance(node, ast.Name) and node.id == "opts"]
    assert len(uses) == 1, f"{component.name} would hand aliases, protection and dependencies on"
    start = init.body[0]
    assert isinstance(start, ast.Expr)
    assert called(start.value) == "super().__init__"
    assert isinstance(start.value, ast.Call)
    kind, name, props, opts = start.value.args
    named = (
        "f'alphaswarm:fleet:{args.unit.kind}'" if component.name == "Unit" else f"'alphaswarm:fleet:{component.name}'"
    )
    assert ast.unparse(kind) == named
    assert (ast.unparse(name), ast.unparse(props), ast.unparse(opts)) == ("name", "None", "opts")


@every_component
def test_every_child_is_parented_to_the_component(component: ast.ClassDef) -> None:
    options = [node for node in ast.walk(component) if called(node).endswith("ResourceOptions")]
    assert options or component.name in ("FleetImages", "Unit"), "their children are parented where they are made"
    for node in options:
        assert isinstance(node, ast.Call)
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert given.get("parent") == "self", f"{component.name}: a child without its parent is lost in the preview"
        assert given.keys() <= {"parent", "depends_on", "protect", "retain_on_delete"}


@every_component
def test_a_component_takes_a_name_typed_frozen_arguments_and_options(component: ast.ClassDef) -> None:
    arguments = constructor(component).args.args
    assert [one.arg for one in arguments] == ["self", "name", "args", "opts"]
    file = next(file for file, node in FOUND if node is component)
    expected = f"{component.name}Args"
    assert ast.unparse(arguments[2].annotation or ast.Constant(None)) == expected
    tree = ast.parse(file.read_text())
    (definition,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == expected]
    assert [ast.unparse(one) for one in definition.decorator_list] == ["dataclass(frozen=True)"]


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_no_component_reads_configuration_or_acts_inside_an_apply(file: Path) -> None:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        module = node.module if isinstance(node, ast.ImportFrom) else None
        assert module != "config.loading", "a component reads configuration"
        assert called(node) not in ("pulumi.Config", "Config", "os.getenv", "os.environ.get")
        if isinstance(node, ast.Lambda):
            assert not [inner for inner in ast.walk(node) if "ResourceOptions" in called(inner)], (
                "previews cannot show it"
            )


def test_manifests_and_queues_know_nothing_of_pulumi() -> None:
    swept = 0
    for file in (*(COMPONENTS.parent / "manifests").glob("*.py"), COMPONENTS.parent / "queues.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = getattr(node, "module", None) or node.names[0].name
                assert not module.startswith("pulumi"), f"{file.name} cannot be used without an engine"
                assert not module.startswith("components"), f"{file.name}: nothing flows back"
                swept += 1
    assert swept > 20


def test_the_program_is_short_enough_to_read_aloud() -> None:
    lines = (COMPONENTS.parent / "__main__.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 20
