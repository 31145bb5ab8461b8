"""Who pods are on AWS, and which account and cluster a stack may touch at all."""

import json
from typing import Any

import pytest

from tests.program.harness import Program, configuration, container, program, run, secrets_of

ROLE = "aws:iam/role:Role"
ACCOUNTS = {"dev": "111122223333", "staging": "222233334444", "prod": "333344445555"}


def trust(found: Program, image: str) -> dict[str, Any]:
    """The only statement of a role's trust policy."""
    (statement,) = json.loads(found.one(ROLE, image).inputs["assumeRolePolicy"])["Statement"]
    assert isinstance(statement, dict)
    return statement


@pytest.mark.parametrize("stack", ACCOUNTS)
@pytest.mark.parametrize("image", ["worker", "executor"])
def test_only_the_pods_of_one_service_account_may_take_a_role(stack: str, image: str) -> None:
    name = f"alphaswarm-{image}"
    statement = trust(program(stack), name)
    (issuer,) = {key.rpartition(":")[0] for key in statement["Condition"]["StringEquals"]}
    assert issuer.startswith("oidc.eks.eu-central-1.amazonaws.com/id/")
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNTS[stack]}:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{issuer}:aud": "sts.amazonaws.com",
                f"{issuer}:sub": f"system:serviceaccount:alphaswarm:{name}",
            }
        },
    }


@pytest.mark.parametrize("stack", ACCOUNTS)
def test_service_accounts_bear_their_own_images_role(stack: str) -> None:
    accounts = program(stack).manifests("ServiceAccount")
    assert {name: one["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] for name, one in accounts.items()} == {
        f"alphaswarm-{image}": f"arn:aws:iam::{ACCOUNTS[stack]}:role/alphaswarm-{stack}-{image}"
        for image in ("worker", "executor")
    }
    assert {one["automountServiceAccountToken"] for one in accounts.values()} == {False}


def with_pod_identity() -> Program:
    return run(configuration("prod", identity={"podIdentityCluster": "trading"}), secrets_of("prod"))


@pytest.mark.parametrize("image", ["worker", "executor"])
def test_pod_identity_gives_a_role_to_one_service_account_of_one_cluster(image: str) -> None:
    found, name = with_pod_identity(), f"alphaswarm-{image}"
    association = found.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", name).inputs
    assert (association["clusterName"], association["namespace"]) == ("trading", "alphaswarm")
    assert association["serviceAccount"] == name
    assert association["roleArn"].endswith(f"alphaswarm-prod-{image}")
    assert trust(found, name) == {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {
                "aws:RequestTag/eks-cluster-name": "trading",
                "aws:RequestTag/kubernetes-namespace": "alphaswarm",
                "aws:RequestTag/kubernetes-service-account": name,
            }
        },
    }


def test_pods_with_pod_identity_reach_its_agent_and_their_service_accounts_name_no_role() -> None:
    found = with_pod_identity()
    assert not [one for one in found.manifests("ServiceAccount").values() if "annotations" in one["metadata"]]
    rules = found.manifest("NetworkPolicy", "workers-egress")["spec"]["egress"]
    agent = {"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}]}
    assert {**agent, "ports": [{"protocol": "TCP", "port": 80}]} in rules
    assert agent["to"][0] not in [
        peer for rule in program("prod").manifest("NetworkPolicy", "workers-egress")["spec"]["egress"]
        for peer in rule.get("to", ())
    ]  # fmt: skip


@pytest.mark.parametrize("stack", ACCOUNTS)
def test_a_role_may_read_the_platforms_credentials_and_nothing_else(stack: str) -> None:
    policies = program(stack).every("aws:iam/rolePolicy:RolePolicy")
    assert len(policies) == 2
    for one in policies:
        (statement,) = json.loads(one.inputs["policy"])["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": f"arn:aws:secretsmanager:eu-central-1:{ACCOUNTS[stack]}:secret:alphaswarm/*",
        }


def test_further_policies_and_a_boundary_reach_their_own_images_role_only() -> None:
    policy, boundary = "arn:aws:iam::111122223333:policy/lake", "arn:aws:iam::111122223333:policy/edge"
    identity = {**configuration("dev")["identity"], "executorPolicies": [policy], "permissionsBoundary": boundary}
    found = run(configuration("dev", identity=identity), secrets_of("dev"))
    (attachment,) = found.every("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert attachment.inputs == {"policyArn": policy, "role": "alphaswarm-dev-executor"}
    assert {one.inputs["permissionsBoundary"] for one in found.every(ROLE)} == {boundary}


def test_without_an_identity_there_are_no_roles_and_no_annotation() -> None:
    found = program("local")
    assert found.count(ROLE) == 0
    for account in found.manifests("ServiceAccount").values():
        assert "annotations" not in account["metadata"]


@pytest.mark.parametrize("stack", ACCOUNTS)
def test_a_stack_acts_on_no_other_account_and_no_other_cluster(stack: str) -> None:
    found = program(stack)
    account = found.one("pulumi:providers:aws", "account")
    assert json.loads(account.inputs["allowedAccountIds"]) == [ACCOUNTS[stack]]
    assert account.inputs["region"] == "eu-central-1"
    assert found.one("pulumi:providers:kubernetes", "cluster").inputs["context"] == f"alphaswarm-{stack}"
    for one in found.registrations:
        if one.type.startswith("kubernetes:"):
            assert "pulumi:providers:kubernetes::cluster::" in one.provider, f"{one.urn} would use the ambient cluster"
        if one.type.startswith("aws:"):
            assert "pulumi:providers:aws::account::" in one.provider, f"{one.urn} would use the ambient account"


def test_an_emulator_gets_every_service_and_no_real_credentials() -> None:
    aws = {**configuration("local")["aws"], "endpoint": "http://127.0.0.1:5001"}
    inputs = run(configuration("local", aws=aws), secrets_of("local")).one("pulumi:providers:aws", "account").inputs
    (endpoints,) = json.loads(inputs["endpoints"])
    assert endpoints == dict.fromkeys(("ecr", "iam", "kms", "sts"), "http://127.0.0.1:5001")
    shown = str(inputs.get("accessKey"))
    assert "AKIA" not in shown
    assert json.loads(inputs["skipRequestingAccountId"]) is True


def test_no_pod_is_given_credentials_of_the_cloud() -> None:
    for deployment in program("prod").workers().values():
        assert not [one["name"] for one in container(deployment)["env"] if one["name"].startswith("AWS_")]
