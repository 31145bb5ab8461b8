"""An IAM role that the pods of one service account, and nothing else, may assume (IRSA)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

SECRETS_PREFIX = "alphaswarm/"  # where the platform keeps credentials: alphaswarm/<service>/<purpose>


@dataclass(frozen=True)
class WorkloadIdentityArgs:
    """The arguments of a WorkloadIdentity."""

    role: str
    namespace: str
    service_account: str
    oidc_provider_arn: str
    region: str
    account_id: str
    tags: Mapping[str, str]
    policies: tuple[str, ...] = ()
    permissions_boundary: str | None = None


class WorkloadIdentity(pulumi.ComponentResource):
    """The role, its policy to read credentials, and the policies that a stack attaches."""

    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: WorkloadIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("alphaswarm:fleet:WorkloadIdentity", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = iam.Role(
            name,
            name=args.role,
            assume_role_policy=json.dumps(trust_policy(args)),
            permissions_boundary=args.permissions_boundary,
            tags=args.tags,
            opts=child,
        )
        iam.RolePolicy(
            f"{name}-credentials",
            role=role.name,
            policy=json.dumps(credentials_policy(args)),
            opts=child,
        )
        for policy_arn in sorted(args.policies):
            iam.RolePolicyAttachment(
                f"{name}-{policy_arn.partition(':iam::')[2]}", role=role.name, policy_arn=policy_arn, opts=child
            )
        self.role_arn = role.arn
        self.register_outputs({"roleArn": self.role_arn})


def trust_policy(args: WorkloadIdentityArgs) -> dict[str, object]:
    """Return the trust policy: only this service account's tokens, issued for AWS, may assume the role."""
    issuer = args.oidc_provider_arn.partition(":oidc-provider/")[2]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": args.oidc_provider_arn},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        f"{issuer}:aud": "sts.amazonaws.com",
                        f"{issuer}:sub": f"system:serviceaccount:{args.namespace}:{args.service_account}",
                    }
                },
            }
        ],
    }


def credentials_policy(args: WorkloadIdentityArgs) -> dict[str, object]:
    """Return the policy to read credentials in Secrets Manager, the last place where the runtime looks for them."""
    partition = args.oidc_provider_arn.split(":")[1]
    secrets = f"arn:{partition}:secretsmanager:{args.region}:{args.account_id}:secret:{SECRETS_PREFIX}*"
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secrets}],
    }
