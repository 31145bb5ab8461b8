"""Torch, which weighs more than all else: which image has it, and of which build."""

import re

import pytest

from tests.images.cases import BuiltCase

pytestmark = pytest.mark.images

TORCH = re.compile(r"venv/lib/python3\.13/site-packages/torch-([^/]+)\.dist-info/METADATA")


def test_the_executor_has_torch_for_cpus_unless_it_says_that_it_goes_without(case: BuiltCase) -> None:
    versions = [match[1] for name in case.built.files if (match := TORCH.fullmatch(name))]
    labels = case.built.config["Labels"]
    if case.image.target != "executor":
        assert versions == [], "the worker is there to be slim"
        assert "io.alphaswarm.left-out" not in labels
    elif labels["io.alphaswarm.left-out"]:
        assert (labels["io.alphaswarm.left-out"], case.platform) == ("torch", "linux/amd64")
        assert versions == []
    else:
        (version,) = versions
        assert version.endswith("+cpu") is (case.platform == "linux/amd64"), "PyPI's would bring CUDA"


def test_no_image_carries_cuda(case: BuiltCase) -> None:
    assert not [name for name in case.built.files if re.search(r"site-packages/(nvidia|triton)/|/libcudart", name)]
