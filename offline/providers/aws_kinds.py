"""The AWS resource types, one class each: what it needs, what forces a new one, and the calls that make it so.

`read` answers with the properties as the account has them, in the shape of the inputs, plus the computed ones. The
generic part (`aws.py`) compares, previews and refreshes from these facts alone.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import unquote

from offline.providers.aws_cloud import Cloud, Gone
from offline.providers.plugin import PluginError
from offline.providers.values import Json, Object


class Kind:
    """One resource type."""

    required: ClassVar[tuple[str, ...]] = ()
    forces_new: ClassVar[frozenset[str]] = frozenset()
    computed: ClassVar[tuple[str, ...]] = ()
    documents: ClassVar[tuple[str, ...]] = ()  # JSON texts: compared by meaning
    unserved: ClassVar[tuple[str, ...]] = ()  # inputs of the released provider that are refused here
    tagged: ClassVar[bool] = False
    named: ClassVar[str] = ""  # the input that is given a name when it has none
    regional: ClassVar[bool] = True
    imported_as: ClassVar[str] = ""  # the input that is the id

    def create(self, cloud: Cloud, inputs: Object) -> str:
        """Make it; its id."""
        raise NotImplementedError

    def read(self, cloud: Cloud, ident: str, inputs: Object) -> Object:
        """Its properties now; raises Gone."""
        raise NotImplementedError

    def update(self, cloud: Cloud, ident: str, old: Object, new: Object) -> None:
        """Change what can be changed in place."""
        raise NotImplementedError

    def delete(self, cloud: Cloud, ident: str, inputs: Object) -> None:
        """Remove it; may raise Gone."""
        raise NotImplementedError


class Repository(Kind):
    """aws:ecr/repository:Repository."""

    forces_new = frozenset({"name", "encryptionConfigurations", "region"})
    computed = ("arn", "registryId", "repositoryUrl")
    tagged = True
    named = "name"

    def create(self, cloud: Cloud, inputs: Object) -> str:
        """Make it."""
        encryption = (inputs.get("encryptionConfigurations") or [None])[0]
        made = cloud.call(
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
        return str(made["repository"]["repositoryName"])

    def read(self, cloud: Cloud, ident: str, inputs: Object) -> Object:
        """Its properties now."""
        region = inputs.get("region")
        found = cloud.call("ecr", "describe_repositories", region, repositoryNames=[ident])["repositories"][0]
        tags = cloud.call("ecr", "list_tags_for_resource", region, resourceArn=found["repositoryArn"])["tags"]
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

    def update(self, cloud: Cloud, ident: str, old: Object, new: Object) -> None:
        """Change mutability, scanning and tags."""
        region = new.get("region")
        if _differ(old, new, "imageTagMutability", "imageTagMutabilityExclusionFilters"):
            cloud.call(
                "ecr",
                "put_image_tag_mutability",
                region,
                repositoryName=ident,
                imageTagMutability=new.get("imageTagMutability") or "MUTABLE",
                imageTagMutabilityExclusionFilters=new.get("imageTagMutabilityExclusionFilters") or None,
            )
        if _differ(old, new, "imageScanningConfiguration"):
            scanning = new.get("imageScanningConfiguration") or {"scanOnPush": False}
            cloud.call(
                "ecr",
                "put_image_scanning_configuration",
                region,
                repositoryName=ident,
                imageScanningConfiguration=scanning,
            )
        if _differ(old, new, "tagsAll"):
            arn = self.read(cloud, ident, new)["arn"]
            if dropped := [key for key in old.get("tagsAll") or {} if key not in new["tagsAll"]]:
                cloud.call("ecr", "untag_resource", region, resourceArn=arn, tagKeys=dropped)
            cloud.call("ecr", "tag_resource", region, resourceArn=arn, tags=_pairs(new["tagsAll"]))

    def delete(self, cloud: Cloud, ident: str, inputs: Object) -> None:
        """Remove it; with images in it only where forceDelete was set."""
        force = bool(inputs.get("forceDelete"))
        try:
            cloud.call("ecr", "delete_repository", inputs.get("region"), repositoryName=ident, force=force)
        except PluginError as error:
            if "RepositoryNotEmpty" not in str(error):
                raise
            advice = "Delete them, or set forceDelete and run `pulumi up` first."
            raise PluginError(f"The ECR repository {ident} still holds images. {advice}") from None


class LifecyclePolicy(Kind):
    """aws:ecr/lifecyclePolicy:LifecyclePolicy."""

    required = ("repository", "policy")
    forces_new = frozenset({"repository", "region"})
    computed = ("registryId",)
    documents = ("policy",)
    imported_as = "repository"
    service: ClassVar[Mapping[str, str]] = {
        "put": "put_lifecycle_policy",
        "get": "get_lifecycle_policy",
        "delete": "delete_lifecycle_policy",
        "text": "lifecyclePolicyText",
    }

    def create(self, cloud: Cloud, inputs: Object) -> str:
        """Make it."""
        self._put(cloud, inputs)
        return str(inputs["repository"])

    def read(self, cloud: Cloud, ident: str, inputs: Object) -> Object:
        """Its properties now."""
        found = cloud.call("ecr", self.service["get"], inputs.get("region"), repositoryName=ident)
        return {
            "repository": found["repositoryName"],
            "registryId": found["registryId"],
            "policy": found[self.service["text"]],
        }

    def update(self, cloud: Cloud, ident: str, old: Object, new: Object) -> None:
        """Put it again."""
        del ident, old
        self._put(cloud, new)

    def delete(self, cloud: Cloud, ident: str, inputs: Object) -> None:
        """Remove it."""
        cloud.call("ecr", self.service["delete"], inputs.get("region"), repositoryName=ident)

    def _put(self, cloud: Cloud, inputs: Object) -> None:
        text = {self.service["text"]: inputs["policy"]}
        try:
            cloud.call("ecr", self.service["put"], inputs.get("region"), repositoryName=inputs["repository"], **text)
        except Gone:
            raise PluginError(f"There is no ECR repository {inputs['repository']} to put a policy on.") from None


class RepositoryPolicy(LifecyclePolicy):
    """aws:ecr/repositoryPolicy:RepositoryPolicy."""

    service: ClassVar[Mapping[str, str]] = {
        "put": "set_repository_policy",
        "get": "get_repository_policy",
        "delete": "delete_repository_policy",
        "text": "policyText",
    }


class Role(Kind):
    """aws:iam/role:Role."""

    required = ("assumeRolePolicy",)
    forces_new = frozenset({"name", "namePrefix", "path"})
    computed = ("arn", "createDate", "uniqueId")
    documents = ("assumeRolePolicy",)
    unserved = ("inlinePolicies", "managedPolicyArns")
    tagged = True
    named = "name"
    regional = False

    def create(self, cloud: Cloud, inputs: Object) -> str:
        """Make it."""
        made = cloud.call(
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
        return str(made["Role"]["RoleName"])

    def read(self, cloud: Cloud, ident: str, inputs: Object) -> Object:
        """Its properties now."""
        del inputs
        role = cloud.call("iam", "get_role", RoleName=ident)["Role"]
        tags = cloud.call("iam", "list_role_tags", RoleName=ident)["Tags"]
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

    def update(self, cloud: Cloud, ident: str, old: Object, new: Object) -> None:
        """Change trust, description, duration, boundary and tags."""
        if _differ(old, new, "assumeRolePolicy"):
            document = new["assumeRolePolicy"]
            cloud.call("iam", "update_assume_role_policy", RoleName=ident, PolicyDocument=document)
        if _differ(old, new, "description", "maxSessionDuration"):
            cloud.call(
                "iam",
                "update_role",
                RoleName=ident,
                Description=new.get("description") or "",
                MaxSessionDuration=new.get("maxSessionDuration") or 3600,
            )
        if _differ(old, new, "permissionsBoundary"):
            boundary = new.get("permissionsBoundary")
            operation = "put_role_permissions_boundary" if boundary else "delete_role_permissions_boundary"
            cloud.call("iam", operation, RoleName=ident, PermissionsBoundary=boundary)
        if _differ(old, new, "tagsAll"):
            if dropped := [key for key in old.get("tagsAll") or {} if key not in new["tagsAll"]]:
                cloud.call("iam", "untag_role", RoleName=ident, TagKeys=dropped)
            cloud.call("iam", "tag_role", RoleName=ident, Tags=_pairs(new["tagsAll"]))

    def delete(self, cloud: Cloud, ident: str, inputs: Object) -> None:
        """Remove it; what others attached only where forceDetachPolicies was set."""
        if inputs.get("forceDetachPolicies"):
            for policy in cloud.call("iam", "list_attached_role_policies", RoleName=ident)["AttachedPolicies"]:
                cloud.call("iam", "detach_role_policy", RoleName=ident, PolicyArn=policy["PolicyArn"])
            for name in cloud.call("iam", "list_role_policies", RoleName=ident)["PolicyNames"]:
                cloud.call("iam", "delete_role_policy", RoleName=ident, PolicyName=name)
        cloud.call("iam", "delete_role", RoleName=ident)


class RolePolicy(Kind):
    """aws:iam/rolePolicy:RolePolicy. Its id is `role:name`."""

    required = ("role", "policy")
    forces_new = frozenset({"role", "name", "namePrefix"})
    documents = ("policy",)
    named = "name"
    regional = False

    def create(self, cloud: Cloud, inputs: Object) -> str:
        """Make it."""
        self.update(cloud, "", {}, inputs)
        return f"{inputs['role']}:{inputs['name']}"

    def read(self, cloud: Cloud, ident: str, inputs: Object) -> Object:
        """Its properties now."""
        del inputs
        role, _, name = ident.partition(":")
        found = cloud.call("iam", "get_role_policy", RoleName=role, PolicyName=name)
        return {"role": role, "name": name, "policy": _document(found["PolicyDocument"])}

    def update(self, cloud: Cloud, ident: str, old: Object, new: Object) -> None:
        """Put it again."""
        del ident, old
        role, name = new["role"], new["name"]
        cloud.call("iam", "put_role_policy", RoleName=role, PolicyName=name, PolicyDocument=new["policy"])

    def delete(self, cloud: Cloud, ident: str, inputs: Object) -> None:
        """Remove it."""
        del inputs
        role, _, name = ident.partition(":")
        cloud.call("iam", "delete_role_policy", RoleName=role, PolicyName=name)


class RolePolicyAttachment(Kind):
    """aws:iam/rolePolicyAttachment:RolePolicyAttachment. Its id is `role/arn`."""

    required = ("role", "policyArn")
    forces_new = frozenset({"role", "policyArn"})
    regional = False

    def create(self, cloud: Cloud, inputs: Object) -> str:
        """Attach."""
        cloud.call("iam", "attach_role_policy", RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}/{inputs['policyArn']}"

    def read(self, cloud: Cloud, ident: str, inputs: Object) -> Object:
        """Whether it is still attached."""
        del inputs
        role, _, arn = ident.partition("/")
        attached = cloud.call("iam", "list_attached_role_policies", RoleName=role)["AttachedPolicies"]
        if arn not in {policy["PolicyArn"] for policy in attached}:
            raise Gone
        return {"role": role, "policyArn": arn}

    def update(self, cloud: Cloud, ident: str, old: Object, new: Object) -> None:
        """There is nothing to change in place."""

    def delete(self, cloud: Cloud, ident: str, inputs: Object) -> None:
        """Detach."""
        del inputs
        role, _, arn = ident.partition("/")
        cloud.call("iam", "detach_role_policy", RoleName=role, PolicyArn=arn)


class Key(Kind):
    """aws:kms/key:Key."""

    forces_new = frozenset({"customerMasterKeySpec", "keyUsage", "multiRegion", "region", "customKeyStoreId"})
    computed = ("arn", "keyId")
    documents = ("policy",)
    tagged = True

    def create(self, cloud: Cloud, inputs: Object) -> str:
        """Make it."""
        made = cloud.call(
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
        ident = str(made["KeyMetadata"]["KeyId"])
        self.update(cloud, ident, {"tagsAll": inputs["tagsAll"], **_only(inputs, "policy", "description")}, inputs)
        return ident

    def read(self, cloud: Cloud, ident: str, inputs: Object) -> Object:
        """Its properties now; one that waits for its deletion is gone."""
        region = inputs.get("region")
        key = cloud.call("kms", "describe_key", region, KeyId=ident)["KeyMetadata"]
        if key["KeyState"] == "PendingDeletion":
            raise Gone
        rotation = cloud.call("kms", "get_key_rotation_status", region, KeyId=ident)
        policy = cloud.call("kms", "get_key_policy", region, KeyId=ident, PolicyName="default")["Policy"]
        tags = cloud.call("kms", "list_resource_tags", region, KeyId=ident)["Tags"]
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

    def update(self, cloud: Cloud, ident: str, old: Object, new: Object) -> None:
        """Change description, rotation, state, policy and tags."""
        region = new.get("region")
        if _differ(old, new, "description"):
            description = new.get("description") or ""
            cloud.call("kms", "update_key_description", region, KeyId=ident, Description=description)
        if _differ(old, new, "policy") and new.get("policy"):
            cloud.call("kms", "put_key_policy", region, KeyId=ident, PolicyName="default", Policy=new["policy"])
        if _differ(old, new, "enableKeyRotation", "rotationPeriodInDays"):
            if new.get("enableKeyRotation"):
                period = new.get("rotationPeriodInDays")
                cloud.call("kms", "enable_key_rotation", region, KeyId=ident, RotationPeriodInDays=period)
            else:
                cloud.call("kms", "disable_key_rotation", region, KeyId=ident)
        if _differ(old, new, "isEnabled"):
            operation = "disable_key" if new.get("isEnabled") is False else "enable_key"
            cloud.call("kms", operation, region, KeyId=ident)
        if _differ(old, new, "tagsAll"):
            if dropped := [key for key in old.get("tagsAll") or {} if key not in new["tagsAll"]]:
                cloud.call("kms", "untag_resource", region, KeyId=ident, TagKeys=dropped)
            cloud.call("kms", "tag_resource", region, KeyId=ident, Tags=_pairs(new["tagsAll"], "TagKey", "TagValue"))

    def delete(self, cloud: Cloud, ident: str, inputs: Object) -> None:
        """Schedule its deletion: keys are never removed at once."""
        window = inputs.get("deletionWindowInDays") or 30
        cloud.call("kms", "schedule_key_deletion", inputs.get("region"), KeyId=ident, PendingWindowInDays=window)


class Alias(Kind):
    """aws:kms/alias:Alias."""

    required = ("targetKeyId",)
    forces_new = frozenset({"name", "namePrefix", "region"})
    computed = ("arn", "targetKeyArn")
    named = "name"
    imported_as = "name"

    def create(self, cloud: Cloud, inputs: Object) -> str:
        """Make it."""
        name, target = inputs["name"], inputs["targetKeyId"]
        cloud.call("kms", "create_alias", inputs.get("region"), AliasName=name, TargetKeyId=target)
        return str(name)

    def read(self, cloud: Cloud, ident: str, inputs: Object) -> Object:
        """Its properties now."""
        region = inputs.get("region")
        aliases = cloud.call("kms", "list_aliases", region)["Aliases"]
        found = next((alias for alias in aliases if alias["AliasName"] == ident and alias.get("TargetKeyId")), None)
        if found is None:
            raise Gone
        key = cloud.call("kms", "describe_key", region, KeyId=found["TargetKeyId"])["KeyMetadata"]
        wanted = str(inputs.get("targetKeyId") or "")
        target = wanted if wanted in (key["KeyId"], key["Arn"]) else key["KeyId"]
        return {"name": ident, "arn": found["AliasArn"], "targetKeyId": target, "targetKeyArn": key["Arn"]}

    def update(self, cloud: Cloud, ident: str, old: Object, new: Object) -> None:
        """Point it at another key."""
        del old
        cloud.call("kms", "update_alias", new.get("region"), AliasName=ident, TargetKeyId=new["targetKeyId"])

    def delete(self, cloud: Cloud, ident: str, inputs: Object) -> None:
        """Remove it."""
        cloud.call("kms", "delete_alias", inputs.get("region"), AliasName=ident)


KINDS: Mapping[str, Kind] = {
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
