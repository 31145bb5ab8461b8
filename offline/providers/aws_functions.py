"""The AWS functions this fleet asks: who and where one is, a login for the registry, a policy document."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from offline.providers.aws_cloud import Cloud, Gone
from offline.providers.plugin import PluginError
from offline.providers.values import Json, Object

Function = Callable[[Cloud, Object], Object]


def caller_identity(cloud: Cloud, args: Object) -> Object:
    """aws:index/getCallerIdentity."""
    del args
    found = cloud.call("sts", "get_caller_identity")
    account = found["Account"]
    return {"accountId": account, "id": account, "arn": found["Arn"], "userId": found["UserId"]}


def region(cloud: Cloud, args: Object) -> Object:
    """aws:index/getRegion: what the provider was told, without a call."""
    name = args.get("region") or args.get("name") or cloud.region
    endpoint = f"ec2.{name}.{_suffix(name)}"
    return {"region": name, "name": name, "id": name, "endpoint": endpoint, "description": name}


def partition(cloud: Cloud, args: Object) -> Object:
    """aws:index/getPartition, which follows from the region."""
    del args
    suffix = _suffix(cloud.region)
    name = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(cloud.region.rpartition("-")[0].rpartition("-")[0], "aws")
    reverse = ".".join(reversed(suffix.split(".")))
    return {"partition": name, "id": name, "dnsSuffix": suffix, "reverseDnsPrefix": reverse}


def authorization_token(cloud: Cloud, args: Object) -> Object:
    """aws:ecr/getAuthorizationToken."""
    try:
        answer = cloud.call("ecr", "get_authorization_token", args.get("region"))
    except Gone:
        raise PluginError("The registry gives out no token.") from None
    found = answer["authorizationData"][0]
    token = found["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    return {
        "authorizationToken": token,
        "userName": user,
        "password": password,
        "proxyEndpoint": found["proxyEndpoint"],
        "expiresAt": found["expiresAt"].isoformat(),
        "registryId": args.get("registryId"),
        "region": args.get("region") or cloud.region,
        "id": args.get("region") or cloud.region,
    }


def policy_document(cloud: Cloud, args: Object) -> Object:
    """aws:iam/getPolicyDocument, which only arranges its arguments."""
    del cloud
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
SECRET_ANSWERS: Mapping[str, tuple[str, ...]] = {
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
