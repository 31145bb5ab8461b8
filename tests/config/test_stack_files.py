"""The stacks' own files: read as they are committed, and refused by their name."""

from pathlib import Path

import pytest
import yaml

from config.errors import SettingsError
from config.loading import from_stack_file
from config.schema import SECRET_KEYS, Settings
from config.tuning import tuned_catalogue
from queues import QUEUES, AlwaysOn
from tests.config.messages import told
from tests.program.harness import STACKS, configuration

ROOT = Path(__file__).parents[2]
PASSWORD = frozenset({"brokerPassword"})


@pytest.mark.parametrize("stack", STACKS)
def test_every_key_of_a_stacks_file_is_a_field(stack: str) -> None:
    document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    aliases = {field.alias for field in Settings.model_fields.values()}
    assert {key.partition(":")[0] for key in document["config"]} == {"fleet"}
    assert {key.partition(":")[2] for key in document["config"]} <= aliases | SECRET_KEYS
    assert document["config"]["fleet:environment"] == stack


@pytest.mark.parametrize("stack", STACKS)
def test_every_stacks_file_can_be_read(stack: str) -> None:
    settings = from_stack_file(ROOT / f"Pulumi.{stack}.yaml", PASSWORD if stack == "local" else frozenset())
    assert settings.environment == stack
    assert tuned_catalogue(settings).names == QUEUES.names
    assert tuned_catalogue(settings).heavy_queues == QUEUES.heavy_queues


def test_only_production_keeps_its_queues_awake_and_protects_what_holds_state() -> None:
    awake = {queue.name for queue in QUEUES.queues if queue.always_on is AlwaysOn.PRODUCTION}
    for stack in STACKS:
        settings = from_stack_file(ROOT / f"Pulumi.{stack}.yaml", PASSWORD if stack == "local" else frozenset())
        for queue in awake:
            assert (tuned_catalogue(settings).queue(queue).min_replicas >= 1) is (stack == "prod")
        assert settings.protect is (stack == "prod")


def test_a_missing_stack_is_named_with_those_that_exist() -> None:
    with pytest.raises(SettingsError, match=r"no Pulumi\.qa\.yaml.*Pulumi\.dev\.yaml.*Pulumi\.prod\.yaml"):
        from_stack_file(ROOT / "Pulumi.qa.yaml")


@pytest.mark.parametrize("text", ["config: [", "config: 5", "", "- 1", "other: {}", "config:\n  fleet:aws: {a: *b}"])
def test_a_stacks_file_that_is_no_configuration_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.odd.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        from_stack_file(file)
    assert "Pulumi.odd.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_secret_of_a_stacks_file_is_known_to_be_set_and_never_read(tmp_path: Path) -> None:
    document = {"config": {f"fleet:{key}": value for key, value in configuration("local").items()}}
    document["config"]["fleet:brokerPassword"] = {"secure": "AAABAOnlyTheEngineReadsThis"}
    file = tmp_path / "Pulumi.local.yaml"
    file.write_text(yaml.safe_dump(document))
    assert "AAABA" not in repr(from_stack_file(file))


def test_a_number_as_a_key_is_a_misspelt_key_and_nothing_else(tmp_path: Path) -> None:
    document = {"config": {f"fleet:{key}": value for key, value in configuration("dev", scaling={7: {}}).items()}}
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(SettingsError) as refused:
        from_stack_file(file)
    assert set(told(str(refused.value))) == {"fleet:scaling.7"}


def test_a_stack_that_tunes_a_queue_which_is_gone_is_told_its_file_and_the_key(tmp_path: Path) -> None:
    gone = {"scaling": {"gone.by_now": {"maxReplicas": 2}}}
    document = {"config": {f"fleet:{key}": value for key, value in configuration("dev", **gone).items()}}
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(SettingsError) as refused:
        from_stack_file(file)
    head, line = str(refused.value).splitlines()
    assert "Pulumi.dev.yaml" in head
    assert line.startswith('  fleet:scaling["gone.by_now"]: there is no such queue')
    assert ", ".join(sorted(QUEUES.names)) in line
