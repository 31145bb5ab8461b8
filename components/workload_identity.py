"""An IAM role that the pods of one service account, and nothing else, may assume: by IRSA or by EKS Pod Identity."""

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
    oidc_provider_arn: str | None  # for IRSA
    pod_identity_cluster: str | None  # for Pod Identity; one of the two is set
    partition: str
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
        if args.pod_identity_cluster is not None:
            self._associate(name, args, args.pod_identity_cluster, role)
        self.role_arn = role.arn
        self.register_outputs({"roleArn": self.role_arn})

    def _associate(self, name: str, args: WorkloadIdentityArgs, cluster: str, role: iam.Role) -> None:
        # Only a stack with Pod Identity pays for the import of these classes.
        from pulumi_aws import eks

        eks.PodIdentityAssociation(
            name,
            cluster_name=cluster,
            namespace=args.namespace,
            service_account=args.service_account,
            role_arn=role.arn,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )


def trust_policy(args: WorkloadIdentityArgs) -> dict[str, object]:
    """Return the trust policy: only this service account's pods may assume the role."""
    statement = _irsa_trust(args, args.oidc_provider_arn) if args.oidc_provider_arn else _pod_identity_trust(args)
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}


def _irsa_trust(args: WorkloadIdentityArgs, oidc_provider_arn: str) -> dict[str, object]:
    """Return whose tokens are accepted: this service account's, issued for AWS."""
    issuer = oidc_provider_arn.partition(":oidc-provider/")[2]
    return {
        "Principal": {"Federated": oidc_provider_arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{issuer}:aud": "sts.amazonaws.com",
                f"{issuer}:sub": f"system:serviceaccount:{args.namespace}:{args.service_account}",
            }
        },
    }


def _pod_identity_trust(args: WorkloadIdentityArgs) -> dict[str, object]:
    """Return for whom EKS may assume the role; it tags each session with the pod's origin."""
    tags = {
        "eks-cluster-name": args.pod_identity_cluster,
        "kubernetes-namespace": args.namespace,
        "kubernetes-service-account": args.service_account,
    }
    return {
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {"StringEquals": {f"aws:RequestTag/{tag}": value for tag, value in tags.items()}},
    }


def credentials_policy(args: WorkloadIdentityArgs) -> dict[str, object]:
    """Return the policy to read credentials in Secrets Manager, the last place where the runtime looks for them."""
    secrets = f"arn:{args.partition}:secretsmanager:{args.region}:{args.account_id}:secret:{SECRETS_PREFIX}*"
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secrets}],
    }
