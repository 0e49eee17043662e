"""configs/kubernetes.yaml: what a cluster would find wrong with it, as far as that can be told without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgebit import __version__
from edgebit.cli import main

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (tools/setup dev)")
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def manifest():
    documents = list(yaml.safe_load_all((CONFIGS / "kubernetes.yaml").read_text()))
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def pod(manifest):
    return manifest["DaemonSet"]["spec"]["template"]["spec"]


def test_parts_belong_together(manifest, pod):
    assert list(manifest) == ["Namespace", "ConfigMap", "DaemonSet"]
    namespace = manifest["Namespace"]["metadata"]["name"]
    assert {manifest[kind]["metadata"]["namespace"] for kind in ("ConfigMap", "DaemonSet")} == {namespace}
    spec = manifest["DaemonSet"]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]
    config = next(volume["configMap"] for volume in pod["volumes"] if volume["name"] == "config")
    assert config["name"] == manifest["ConfigMap"]["metadata"]["name"]
    (name,) = manifest["ConfigMap"]["data"]
    assert container["args"] == ["run", "-c", f"/etc/edgebit/{name}"]
    assert container["image"] == f"edgebit:{__version__}"


def test_everything_it_writes_and_reads_is_mounted(manifest, pod):
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    config = manifest["ConfigMap"]["data"]["edgebit.toml"]
    (state,) = re.findall(r'^state_dir = "(.*)"', config, re.MULTILINE)
    assert mounts == {"/etc/edgebit": True, "/var/log": True, state: False}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_its_configuration_is_valid_and_fits_into_its_memory(manifest, pod, tmp_path, monkeypatch, capsys):
    (container,) = pod["containers"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], "node-1")
    path = tmp_path / "edgebit.toml"
    path.write_text(manifest["ConfigMap"]["data"]["edgebit.toml"].replace("/var/lib/edgebit", str(tmp_path)))
    assert main(["check", "-c", str(path)]) == 0
    assert "warn" not in capsys.readouterr().out
    memory = int(re.search(r'memory = "(\d+)MiB"', path.read_text())[1])
    assert int(container["resources"]["limits"]["memory"].removesuffix("Mi")) >= 4 * memory
