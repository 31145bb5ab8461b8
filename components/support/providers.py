"""The explicit providers, so that a stack never acts on an account or a cluster it does not name."""

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from config.schema import Aws, Settings

EMULATED_SERVICES = ("ecr", "iam", "kms", "sts")
EMULATOR_KEY = "emulator"  # any text: an emulator on loopback asks for none


def providers(settings: Settings) -> list[pulumi.ProviderResource]:
    """Return the providers of the fleet's resources; AWS only where the stack names an account."""
    cluster = settings.cluster
    result: list[pulumi.ProviderResource] = [
        kubernetes.Provider(
            "cluster",
            context=cluster.context,
            kubeconfig=cluster.kubeconfig,
            enable_server_side_apply=True,
            enable_patch_force=True,  # what the fleet sets is the fleet's: an edit by hand is drift, and is undone
        )
    ]
    if settings.aws is not None:
        result.append(_emulator_provider(settings.aws) if settings.aws.endpoint else _aws_provider(settings.aws))
    return result


def _aws_provider(account: Aws) -> aws.Provider:
    return aws.Provider("account", region=account.region, allowed_account_ids=[account.account_id])


def _emulator_provider(account: Aws) -> aws.Provider:
    endpoints = dict.fromkeys(EMULATED_SERVICES, account.endpoint)
    return aws.Provider(
        "account",
        region=account.region,
        access_key=EMULATOR_KEY,
        secret_key=EMULATOR_KEY,
        endpoints=[aws.ProviderEndpointArgs(**endpoints)],
        skip_credentials_validation=True,
        skip_metadata_api_check=True,
        skip_region_validation=True,
        skip_requesting_account_id=True,
    )
