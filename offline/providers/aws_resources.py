"""The AWS resource types, one class each: required inputs, which inputs force a new resource, and the API calls.

`read` returns the properties as the account has them, in the shape of the inputs, and the computed ones. `aws.py`
compares, previews and refreshes from these facts alone.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import unquote

from offline.providers.aws_client import AwsClient, NotFoundError
from offline.providers.plugin import ProviderError
from offline.providers.values import Json, Object


class ResourceType:
    """One resource type."""

    required: ClassVar[tuple[str, ...]] = ()
    forces_new: ClassVar[frozenset[str]] = frozenset()
    computed: ClassVar[tuple[str, ...]] = ()
    json_documents: ClassVar[tuple[str, ...]] = ()  # inputs that are JSON: compared as values, not as text
    unsupported: ClassVar[tuple[str, ...]] = ()  # inputs of the released provider that this one refuses
    tagged: ClassVar[bool] = False
    autonamed_property: ClassVar[str] = ""  # the input that gets a name when it has none
    regional: ClassVar[bool] = True
    id_property: ClassVar[str] = ""  # the input that is the id

    def create(self, client: AwsClient, inputs: Object) -> str:
        """Create the resource, and return its id."""
        raise NotImplementedError

    def read(self, client: AwsClient, ident: str, inputs: Object) -> Object:
        """Return the properties. Raises NotFoundError."""
        raise NotImplementedError

    def update(self, client: AwsClient, ident: str, old: Object, new: Object) -> None:
        """Change the inputs that do not force a new resource."""
        raise NotImplementedError

    def delete(self, client: AwsClient, ident: str, inputs: Object) -> None:
        """Delete the resource. May raise NotFoundError."""
        raise NotImplementedError


class Repository(ResourceType):
    """aws:ecr/repository:Repository."""

    forces_new = frozenset({"name", "encryptionConfigurations", "region"})
    computed = ("arn", "registryId", "repositoryUrl")
    tagged = True
    autonamed_property = "name"

    def create(self, client: AwsClient, inputs: Object) -> str:
        """Create the resource, and return its id."""
        encryption = (inputs.get("encryptionConfigurations") or [None])[0]
        response = client.call(
            "ecr",
            "create_repository",
            inputs.get("region"),
            repositoryName=inputs["name"],
            imageTagMutability=inputs.get("imageTagMutability"),
            imageTagMutabilityExclusionFilters=inputs.get("imageTagMutabilityExclusionFilters") or None,
            imageScanningConfiguration=inputs.get("imageScanningConfiguration"),
            encryptionConfiguration=_without_none(encryption),
            tags=_pairs(inputs["tagsAll"]),
        )
        return str(response["repository"]["repositoryName"])

    def read(self, client: AwsClient, ident: str, inputs: Object) -> Object:
        """Return the properties."""
        region = inputs.get("region")
        found = client.call("ecr", "describe_repositories", region, repositoryNames=[ident])["repositories"][0]
        tags = client.call("ecr", "list_tags_for_resource", region, resourceArn=found["repositoryArn"])["tags"]
        return {
            "name": found["repositoryName"],
            "arn": found["repositoryArn"],
            "registryId": found["registryId"],
            "repositoryUrl": found["repositoryUri"],
            "imageTagMutability": found["imageTagMutability"],
            "imageTagMutabilityExclusionFilters": found.get("imageTagMutabilityExclusionFilters") or [],
            "imageScanningConfiguration": found.get("imageScanningConfiguration") or {"scanOnPush": False},
            "encryptionConfigurations": [found.get("encryptionConfiguration") or {"encryptionType": "AES256"}],
            "tagsAll": {tag["Key"]: tag["Value"] for tag in tags},
        }

    def update(self, client: AwsClient, ident: str, old: Object, new: Object) -> None:
        """Change mutability, scanning and tags."""
        region = new.get("region")
        if _differ(old, new, "imageTagMutability", "imageTagMutabilityExclusionFilters"):
            client.call(
                "ecr",
                "put_image_tag_mutability",
                region,
                repositoryName=ident,
                imageTagMutability=new.get("imageTagMutability") or "MUTABLE",
                imageTagMutabilityExclusionFilters=new.get("imageTagMutabilityExclusionFilters") or None,
            )
        if _differ(old, new, "imageScanningConfiguration"):
            scanning = new.get("imageScanningConfiguration") or {"scanOnPush": False}
            client.call(
                "ecr",
                "put_image_scanning_configuration",
                region,
                repositoryName=ident,
                imageScanningConfiguration=scanning,
            )
        if _differ(old, new, "tagsAll"):
            arn = self.read(client, ident, new)["arn"]
            if dropped := [key for key in old.get("tagsAll") or {} if key not in new["tagsAll"]]:
                client.call("ecr", "untag_resource", region, resourceArn=arn, tagKeys=dropped)
            client.call("ecr", "tag_resource", region, resourceArn=arn, tags=_pairs(new["tagsAll"]))

    def delete(self, client: AwsClient, ident: str, inputs: Object) -> None:
        """Delete the repository. With images in it, only where forceDelete is set."""
        force = bool(inputs.get("forceDelete"))
        try:
            client.call("ecr", "delete_repository", inputs.get("region"), repositoryName=ident, force=force)
        except ProviderError as error:
            if "RepositoryNotEmpty" not in str(error):
                raise
            advice = "Delete them, or set forceDelete and run `pulumi up` first."
            raise ProviderError(f"The ECR repository {ident} still holds images. {advice}") from None


class LifecyclePolicy(ResourceType):
    """aws:ecr/lifecyclePolicy:LifecyclePolicy."""

    required = ("repository", "policy")
    forces_new = frozenset({"repository", "region"})
    computed = ("registryId",)
    json_documents = ("policy",)
    id_property = "repository"
    service: ClassVar[Mapping[str, str]] = {
        "put": "put_lifecycle_policy",
        "get": "get_lifecycle_policy",
        "delete": "delete_lifecycle_policy",
        "text": "lifecyclePolicyText",
    }

    def create(self, client: AwsClient, inputs: Object) -> str:
        """Create the resource, and return its id."""
        self._put(client, inputs)
        return str(inputs["repository"])

    def read(self, client: AwsClient, ident: str, inputs: Object) -> Object:
        """Return the properties."""
        found = client.call("ecr", self.service["get"], inputs.get("region"), repositoryName=ident)
        return {
            "repository": found["repositoryName"],
            "registryId": found["registryId"],
            "policy": found[self.service["text"]],
        }

    def update(self, client: AwsClient, ident: str, old: Object, new: Object) -> None:
        """Put the policy again."""
        del ident, old
        self._put(client, new)

    def delete(self, client: AwsClient, ident: str, inputs: Object) -> None:
        """Delete the resource."""
        client.call("ecr", self.service["delete"], inputs.get("region"), repositoryName=ident)

    def _put(self, client: AwsClient, inputs: Object) -> None:
        text = {self.service["text"]: inputs["policy"]}
        try:
            client.call("ecr", self.service["put"], inputs.get("region"), repositoryName=inputs["repository"], **text)
        except NotFoundError:
            raise ProviderError(f"There is no ECR repository {inputs['repository']} to put a policy on.") from None


class RepositoryPolicy(LifecyclePolicy):
    """aws:ecr/repositoryPolicy:RepositoryPolicy."""

    service: ClassVar[Mapping[str, str]] = {
        "put": "set_repository_policy",
        "get": "get_repository_policy",
        "delete": "delete_repository_policy",
        "text": "policyText",
    }


class Role(ResourceType):
    """aws:iam/role:Role."""

    required = ("assumeRolePolicy",)
    forces_new = frozenset({"name", "namePrefix", "path"})
    computed = ("arn", "createDate", "uniqueId")
    json_documents = ("assumeRolePolicy",)
    unsupported = ("inlinePolicies", "managedPolicyArns")
    tagged = True
    autonamed_property = "name"
    regional = False

    def create(self, client: AwsClient, inputs: Object) -> str:
        """Create the resource, and return its id."""
        response = client.call(
            "iam",
            "create_role",
            RoleName=inputs["name"],
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Description=inputs.get("description"),
            MaxSessionDuration=inputs.get("maxSessionDuration"),
            Path=inputs.get("path"),
            PermissionsBoundary=inputs.get("permissionsBoundary"),
            Tags=_pairs(inputs["tagsAll"]),
        )
        return str(response["Role"]["RoleName"])

    def read(self, client: AwsClient, ident: str, inputs: Object) -> Object:
        """Return the properties."""
        del inputs
        role = client.call("iam", "get_role", RoleName=ident)["Role"]
        tags = client.call("iam", "list_role_tags", RoleName=ident)["Tags"]
        return {
            "name": role["RoleName"],
            "arn": role["Arn"],
            "uniqueId": role["RoleId"],
            "createDate": role["CreateDate"].isoformat(),
            "path": role["Path"],
            "description": role.get("Description") or "",
            "maxSessionDuration": role.get("MaxSessionDuration") or 3600,
            "permissionsBoundary": (role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"),
            "assumeRolePolicy": _document(role["AssumeRolePolicyDocument"]),
            "tagsAll": {tag["Key"]: tag["Value"] for tag in tags},
        }

    def update(self, client: AwsClient, ident: str, old: Object, new: Object) -> None:
        """Change trust, description, duration, boundary and tags."""
        if _differ(old, new, "assumeRolePolicy"):
            document = new["assumeRolePolicy"]
            client.call("iam", "update_assume_role_policy", RoleName=ident, PolicyDocument=document)
        if _differ(old, new, "description", "maxSessionDuration"):
            client.call(
                "iam",
                "update_role",
                RoleName=ident,
                Description=new.get("description") or "",
                MaxSessionDuration=new.get("maxSessionDuration") or 3600,
            )
        if _differ(old, new, "permissionsBoundary"):
            boundary = new.get("permissionsBoundary")
            operation = "put_role_permissions_boundary" if boundary else "delete_role_permissions_boundary"
            client.call("iam", operation, RoleName=ident, PermissionsBoundary=boundary)
        if _differ(old, new, "tagsAll"):
            if dropped := [key for key in old.get("tagsAll") or {} if key not in new["tagsAll"]]:
                client.call("iam", "untag_role", RoleName=ident, TagKeys=dropped)
            client.call("iam", "tag_role", RoleName=ident, Tags=_pairs(new["tagsAll"]))

    def delete(self, client: AwsClient, ident: str, inputs: Object) -> None:
        """Delete the role. Its policies are detached first only where forceDetachPolicies is set."""
        if inputs.get("forceDetachPolicies"):
            for policy in client.call("iam", "list_attached_role_policies", RoleName=ident)["AttachedPolicies"]:
                client.call("iam", "detach_role_policy", RoleName=ident, PolicyArn=policy["PolicyArn"])
            for name in client.call("iam", "list_role_policies", RoleName=ident)["PolicyNames"]:
                client.call("iam", "delete_role_policy", RoleName=ident, PolicyName=name)
        client.call("iam", "delete_role", RoleName=ident)


class RolePolicy(ResourceType):
    """aws:iam/rolePolicy:RolePolicy. Its id is `role:name`."""

    required = ("role", "policy")
    forces_new = frozenset({"role", "name", "namePrefix"})
    json_documents = ("policy",)
    autonamed_property = "name"
    regional = False

    def create(self, client: AwsClient, inputs: Object) -> str:
        """Create the resource, and return its id."""
        self.update(client, "", {}, inputs)
        return f"{inputs['role']}:{inputs['name']}"

    def read(self, client: AwsClient, ident: str, inputs: Object) -> Object:
        """Return the properties."""
        del inputs
        role, _, name = ident.partition(":")
        found = client.call("iam", "get_role_policy", RoleName=role, PolicyName=name)
        return {"role": role, "name": name, "policy": _document(found["PolicyDocument"])}

    def update(self, client: AwsClient, ident: str, old: Object, new: Object) -> None:
        """Put the policy again."""
        del ident, old
        role, name = new["role"], new["name"]
        client.call("iam", "put_role_policy", RoleName=role, PolicyName=name, PolicyDocument=new["policy"])

    def delete(self, client: AwsClient, ident: str, inputs: Object) -> None:
        """Delete the resource."""
        del inputs
        role, _, name = ident.partition(":")
        client.call("iam", "delete_role_policy", RoleName=role, PolicyName=name)


class RolePolicyAttachment(ResourceType):
    """aws:iam/rolePolicyAttachment:RolePolicyAttachment. Its id is `role/arn`."""

    required = ("role", "policyArn")
    forces_new = frozenset({"role", "policyArn"})
    regional = False

    def create(self, client: AwsClient, inputs: Object) -> str:
        """Attach the policy, and return the id."""
        client.call("iam", "attach_role_policy", RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}/{inputs['policyArn']}"

    def read(self, client: AwsClient, ident: str, inputs: Object) -> Object:
        """Return the properties, if the policy is attached."""
        del inputs
        role, _, arn = ident.partition("/")
        attached = client.call("iam", "list_attached_role_policies", RoleName=role)["AttachedPolicies"]
        if arn not in {policy["PolicyArn"] for policy in attached}:
            raise NotFoundError
        return {"role": role, "policyArn": arn}

    def update(self, client: AwsClient, ident: str, old: Object, new: Object) -> None:
        """Change nothing: both inputs force a new resource."""

    def delete(self, client: AwsClient, ident: str, inputs: Object) -> None:
        """Detach the policy."""
        del inputs
        role, _, arn = ident.partition("/")
        client.call("iam", "detach_role_policy", RoleName=role, PolicyArn=arn)


class Key(ResourceType):
    """aws:kms/key:Key."""

    forces_new = frozenset({"customerMasterKeySpec", "keyUsage", "multiRegion", "region", "customKeyStoreId"})
    computed = ("arn", "keyId")
    json_documents = ("policy",)
    tagged = True

    def create(self, client: AwsClient, inputs: Object) -> str:
        """Create the resource, and return its id."""
        response = client.call(
            "kms",
            "create_key",
            inputs.get("region"),
            Description=inputs.get("description"),
            KeyUsage=inputs.get("keyUsage") or "ENCRYPT_DECRYPT",
            KeySpec=inputs.get("customerMasterKeySpec") or "SYMMETRIC_DEFAULT",
            MultiRegion=inputs.get("multiRegion"),
            Policy=inputs.get("policy"),
            Tags=_pairs(inputs["tagsAll"], "TagKey", "TagValue"),
        )
        ident = str(response["KeyMetadata"]["KeyId"])
        self.update(client, ident, {"tagsAll": inputs["tagsAll"], **_only(inputs, "policy", "description")}, inputs)
        return ident

    def read(self, client: AwsClient, ident: str, inputs: Object) -> Object:
        """Return the properties. A key that is scheduled for deletion counts as deleted."""
        region = inputs.get("region")
        key = client.call("kms", "describe_key", region, KeyId=ident)["KeyMetadata"]
        if key["KeyState"] == "PendingDeletion":
            raise NotFoundError
        rotation = client.call("kms", "get_key_rotation_status", region, KeyId=ident)
        policy = client.call("kms", "get_key_policy", region, KeyId=ident, PolicyName="default")["Policy"]
        tags = client.call("kms", "list_resource_tags", region, KeyId=ident)["Tags"]
        return {
            "arn": key["Arn"],
            "keyId": key["KeyId"],
            "description": key.get("Description") or "",
            "keyUsage": key["KeyUsage"],
            "customerMasterKeySpec": key.get("KeySpec") or key.get("CustomerMasterKeySpec"),
            "multiRegion": key.get("MultiRegion", False),
            "isEnabled": key["Enabled"],
            "enableKeyRotation": rotation["KeyRotationEnabled"],
            "policy": policy,
            "tagsAll": {tag["TagKey"]: tag["TagValue"] for tag in tags},
        }

    def update(self, client: AwsClient, ident: str, old: Object, new: Object) -> None:
        """Change description, rotation, state, policy and tags."""
        region = new.get("region")
        if _differ(old, new, "description"):
            description = new.get("description") or ""
            client.call("kms", "update_key_description", region, KeyId=ident, Description=description)
        if _differ(old, new, "policy") and new.get("policy"):
            client.call("kms", "put_key_policy", region, KeyId=ident, PolicyName="default", Policy=new["policy"])
        if _differ(old, new, "enableKeyRotation", "rotationPeriodInDays"):
            if new.get("enableKeyRotation"):
                period = new.get("rotationPeriodInDays")
                client.call("kms", "enable_key_rotation", region, KeyId=ident, RotationPeriodInDays=period)
            else:
                client.call("kms", "disable_key_rotation", region, KeyId=ident)
        if _differ(old, new, "isEnabled"):
            operation = "disable_key" if new.get("isEnabled") is False else "enable_key"
            client.call("kms", operation, region, KeyId=ident)
        if _differ(old, new, "tagsAll"):
            if dropped := [key for key in old.get("tagsAll") or {} if key not in new["tagsAll"]]:
                client.call("kms", "untag_resource", region, KeyId=ident, TagKeys=dropped)
            client.call("kms", "tag_resource", region, KeyId=ident, Tags=_pairs(new["tagsAll"], "TagKey", "TagValue"))

    def delete(self, client: AwsClient, ident: str, inputs: Object) -> None:
        """Schedule the deletion: KMS never deletes a key at once."""
        window = inputs.get("deletionWindowInDays") or 30
        client.call("kms", "schedule_key_deletion", inputs.get("region"), KeyId=ident, PendingWindowInDays=window)


class Alias(ResourceType):
    """aws:kms/alias:Alias."""

    required = ("targetKeyId",)
    forces_new = frozenset({"name", "namePrefix", "region"})
    computed = ("arn", "targetKeyArn")
    autonamed_property = "name"
    id_property = "name"

    def create(self, client: AwsClient, inputs: Object) -> str:
        """Create the resource, and return its id."""
        name, target = inputs["name"], inputs["targetKeyId"]
        client.call("kms", "create_alias", inputs.get("region"), AliasName=name, TargetKeyId=target)
        return str(name)

    def read(self, client: AwsClient, ident: str, inputs: Object) -> Object:
        """Return the properties."""
        region = inputs.get("region")
        aliases = client.call("kms", "list_aliases", region)["Aliases"]
        found = next((alias for alias in aliases if alias["AliasName"] == ident and alias.get("TargetKeyId")), None)
        if found is None:
            raise NotFoundError
        key = client.call("kms", "describe_key", region, KeyId=found["TargetKeyId"])["KeyMetadata"]
        wanted = str(inputs.get("targetKeyId") or "")
        target = wanted if wanted in (key["KeyId"], key["Arn"]) else key["KeyId"]
        return {"name": ident, "arn": found["AliasArn"], "targetKeyId": target, "targetKeyArn": key["Arn"]}

    def update(self, client: AwsClient, ident: str, old: Object, new: Object) -> None:
        """Set another target key."""
        del old
        client.call("kms", "update_alias", new.get("region"), AliasName=ident, TargetKeyId=new["targetKeyId"])

    def delete(self, client: AwsClient, ident: str, inputs: Object) -> None:
        """Delete the resource."""
        client.call("kms", "delete_alias", inputs.get("region"), AliasName=ident)


RESOURCE_TYPES: Mapping[str, ResourceType] = {
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": LifecyclePolicy(),
    "aws:ecr/repository:Repository": Repository(),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": RepositoryPolicy(),
    "aws:iam/role:Role": Role(),
    "aws:iam/rolePolicy:RolePolicy": RolePolicy(),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": RolePolicyAttachment(),
    "aws:kms/alias:Alias": Alias(),
    "aws:kms/key:Key": Key(),
}


def _differ(old: Object, new: Object, *keys: str) -> bool:
    return any(old.get(key) != new.get(key) for key in keys)


def _only(inputs: Object, *keys: str) -> Object:
    return {key: inputs[key] for key in keys if key in inputs}


def _without_none(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else {key: part for key, part in value.items() if part is not None}


def _pairs(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: text} for name, text in sorted(tags.items())]


def _document(found: Json) -> str:
    return unquote(found) if isinstance(found, str) else json.dumps(found)
