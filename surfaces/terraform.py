"""deploy/terraform/heavy_queues.auto.tfvars.json: the executor's queues, for those who stay with Terraform.

Terraform reads a file of that name by itself. JSON has no comments, so the file cannot say what it is generated from.
"""

import json

from queues import HEAVY_QUEUES


def heavy_queues_tfvars() -> str:
    """Return the file's text."""
    return json.dumps({"heavy_queues": sorted(HEAVY_QUEUES)}, indent=2) + "\n"
