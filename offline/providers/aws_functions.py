"""The functions (invokes) of the AWS provider that this fleet calls."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from offline.providers.aws_client import AwsClient, NotFoundError
from offline.providers.plugin import ProviderError
from offline.providers.values import Json, Object

Function = Callable[[AwsClient, Object], Object]


def caller_identity(client: AwsClient, args: Object) -> Object:
    """Answer aws:index/getCallerIdentity."""
    del args
    found = client.call("sts", "get_caller_identity")
    account = found["Account"]
    return {"accountId": account, "id": account, "arn": found["Arn"], "userId": found["UserId"]}


def region(client: AwsClient, args: Object) -> Object:
    """Answer aws:index/getRegion from the provider's configuration, without a call."""
    name = args.get("region") or args.get("name") or client.region
    endpoint = f"ec2.{name}.{_suffix(name)}"
    return {"region": name, "name": name, "id": name, "endpoint": endpoint, "description": name}


def partition(client: AwsClient, args: Object) -> Object:
    """Answer aws:index/getPartition, which follows from the region."""
    del args
    suffix = _suffix(client.region)
    name = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(client.region.rpartition("-")[0].rpartition("-")[0], "aws")
    reverse = ".".join(reversed(suffix.split(".")))
    return {"partition": name, "id": name, "dnsSuffix": suffix, "reverseDnsPrefix": reverse}


def authorization_token(client: AwsClient, args: Object) -> Object:
    """Answer aws:ecr/getAuthorizationToken."""
    try:
        response = client.call("ecr", "get_authorization_token", args.get("region"))
    except NotFoundError:
        raise ProviderError("The registry returns no authorization token.") from None
    found = response["authorizationData"][0]
    token = found["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    return {
        "authorizationToken": token,
        "userName": user,
        "password": password,
        "proxyEndpoint": found["proxyEndpoint"],
        "expiresAt": found["expiresAt"].isoformat(),
        "registryId": args.get("registryId"),
        "region": args.get("region") or client.region,
        "id": args.get("region") or client.region,
    }


def policy_document(client: AwsClient, args: Object) -> Object:
    """Answer aws:iam/getPolicyDocument, which only arranges its arguments."""
    del client
    statements = [_statement(given) for given in args.get("statements") or ()]
    document: Object = {"Version": args.get("version") or "2012-10-17"}
    if args.get("policyId"):
        document["Id"] = args["policyId"]
    document["Statement"] = statements
    text = json.dumps(document, indent=2)
    return {**args, "id": str(len(text)), "json": text, "minifiedJson": json.dumps(document, separators=(",", ":"))}


FUNCTIONS: Mapping[str, Function] = {
    "aws:index/getCallerIdentity:getCallerIdentity": caller_identity,
    "aws:index/getRegion:getRegion": region,
    "aws:index/getPartition:getPartition": partition,
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": authorization_token,
    "aws:iam/getPolicyDocument:getPolicyDocument": policy_document,
}
SECRET_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": ("authorizationToken", "password"),
}


def _statement(given: Mapping[str, Any]) -> Object:
    statement: Object = {"Sid": given["sid"]} if given.get("sid") else {}
    statement["Effect"] = given.get("effect") or "Allow"
    names = ("Actions", "NotActions", "Resources", "NotResources")
    for name in names:
        if values := given.get(name[0].lower() + name[1:]):
            statement[name.removesuffix("s")] = _one_or_many(values)
    for name in ("Principals", "NotPrincipals"):
        if given_principals := given.get(name[0].lower() + name[1:]):
            statement[name.removesuffix("s")] = _principals(given_principals)
    for condition in given.get("conditions") or ():
        test = statement.setdefault("Condition", {}).setdefault(condition["test"], {})
        test[condition["variable"]] = _one_or_many(condition["values"])
    return statement


def _principals(given: list[Mapping[str, Any]]) -> Json:
    if any(principal["type"] == "*" for principal in given):
        return "*"
    merged: dict[str, list[str]] = {}
    for principal in given:
        merged.setdefault(principal["type"], []).extend(principal["identifiers"])
    return {kind: _one_or_many(identifiers) for kind, identifiers in merged.items()}


def _one_or_many(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else sorted(values, reverse=True)


def _suffix(region_name: str) -> str:
    return "amazonaws.com.cn" if region_name.startswith("cn-") else "amazonaws.com"
