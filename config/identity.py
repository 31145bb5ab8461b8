"""The IAM roles of a stack's images. The fleet sets their names, so their ARNs are known before they exist."""

from config.schema import Settings
from queues import Image


def role_name(namespace: str, environment: str, image: Image) -> str:
    """Return the name of the IAM role that an image's pods may assume."""
    return f"{namespace}-{environment}-{image.target}"


def role_arn(settings: Settings, image: Image) -> str | None:
    """Return the ARN of the role that a service account names; None without one, and for Pod Identity.

    There an association in AWS says which role a service account has.
    """
    if settings.identity is None or settings.aws is None or settings.identity.pod_identity_cluster is not None:
        return None
    name = role_name(settings.namespace, settings.environment, image)
    return f"arn:{settings.aws.partition}:iam::{settings.aws.account_id}:role/{name}"
