"""What is deployed to AWS and Google Cloud, as far as it can be judged without an account: templates and scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import REPOSITORY

from lung_nodules.archive.settings import DicomwebSettings
from lung_nodules.service.settings import ServiceSettings, read_service_settings

DEPLOY = REPOSITORY / "deploy"
TEMPLATE = DEPLOY / "aws" / "service.yaml"


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms, `!Ref x`, as ``{"Ref": "x"}``."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    raise TypeError(suffix)


_Loader.add_multi_constructor("!", _short_form)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)
    return found


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = template["Resources"]
    return found


def of_type(resources: dict[str, dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    return {key: each["Properties"] for key, each in resources.items() if each["Type"] == name}


def test_cfn_lint_finds_nothing() -> None:
    """Not even a warning; the regions are those with GPU instances of these families."""
    api = pytest.importorskip("cfnlint.api")
    found = api.lint(TEMPLATE.read_text(encoding="utf-8"), regions=["us-east-1", "eu-central-1", "ap-southeast-1"])
    assert [f"{match.rule.id} {match.message} (line {match.linenumber})" for match in found] == []


def test_nothing_on_aws_has_a_public_address(resources: dict[str, dict[str, Any]]) -> None:
    balancers = of_type(resources, "AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert {name: each["Scheme"] for name, each in balancers.items()} == {
        "Balancer": "internal",
        "SenderBalancer": "internal",
    }
    (database,) = of_type(resources, "AWS::RDS::DBInstance").values()
    assert database["PubliclyAccessible"] is False
    assert database["StorageEncrypted"] is True
    for service in of_type(resources, "AWS::ECS::Service").values():
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert "ENABLED" not in str(network.get("AssignPublicIp", "DISABLED"))
    for group in of_type(resources, "AWS::EC2::SecurityGroup").values():
        for rule in group["SecurityGroupIngress"]:
            assert "SourceSecurityGroupId" in rule or rule["CidrIp"] in ({"Ref": "CallerCidr"}, {"Ref": "SenderCidr"})


def test_tasks_are_hardened_and_get_secrets_by_reference(resources: dict[str, dict[str, Any]]) -> None:
    tasks = of_type(resources, "AWS::ECS::TaskDefinition")
    assert set(tasks) == {"ApiTask", "WorkerTask", "WatcherTask", "ListenerTask"}
    for task in tasks.values():
        (container,) = task["ContainerDefinitions"]
        assert container["User"] == "1000:1000"
        assert container["ReadonlyRootFilesystem"] is True
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert container["Image"] == {"Ref": "ImageUri"}
        assert {variable["Name"] for variable in container["Environment"]} == {"LUNG_NODULES_SERVICE_CONFIG"}
        assert {secret["Name"] for secret in container["Secrets"]} == {
            "FILE_database_url",
            "FILE_archive_password",
            "FILE_settings",
        }


def test_tasks_may_do_nothing_but_read_their_secrets_and_mount_their_files(
    resources: dict[str, dict[str, Any]],
) -> None:
    actions: set[str] = set()
    for role in of_type(resources, "AWS::IAM::Role").values():
        for policy in role.get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                named = statement["Action"]
                actions |= {named} if isinstance(named, str) else set(named)
                assert "*" not in (statement["Resource"], *actions)
    assert actions == {
        "secretsmanager:GetSecretValue",
        "ssm:GetParameters",
        "elasticfilesystem:ClientMount",
        "elasticfilesystem:ClientWrite",
    }


PARAMETERS = {
    "ArchiveUrl": "https://archive.example/dicom-web",
    "ArchiveUser": "lung-nodules",
    "Issuer": "https://issuer.example",
    "Audience": "lung-nodules",
    "JwksUrl": "https://issuer.example/certs",
    "ClientId": "lung-nodules-page",
    "BalancerCidrs": "10.0.1.0/24,10.0.2.0/24",
    "ChangeFeedUrl": "",
    "SenderCidr": "",
    "SenderAeTitles": "",
}
CONDITIONS = {"Watches": "ChangeFeedUrl", "Listens": "SenderCidr"}  # each holds where its parameter is not empty


def filled_in(value: Any, parameters: Mapping[str, str]) -> Any:
    """What CloudFormation makes of a text and the functions in it."""
    if isinstance(value, str):
        return value
    ((function, said),) = value.items()
    if function == "Ref":
        return parameters[said]
    if function == "If":
        name, then, otherwise = said
        return filled_in(then if parameters[CONDITIONS[name]] else otherwise, parameters)
    if function == "Split":
        return filled_in(said[1], parameters).split(said[0])
    if function == "Join":
        return said[0].join(filled_in(said[1], parameters))
    assert function == "Sub"
    text, own = (said, {}) if isinstance(said, str) else said
    values = {**parameters, **{name: filled_in(each, parameters) for name, each in own.items()}}
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)


def settings_on_aws(resources: dict[str, dict[str, Any]], folder: Path, **parameters: str) -> ServiceSettings:
    """What the tasks read, by the service's own reader."""
    config = folder / "service.yaml"
    text = filled_in(resources["Settings"]["Properties"]["Value"], {**PARAMETERS, **parameters})
    assert len(text) < 4096, "more than a standard parameter of SSM holds"
    config.write_text(text, encoding="utf-8")
    return read_service_settings(config)


def test_the_settings_on_aws_are_valid(resources: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    settings = settings_on_aws(resources, tmp_path)
    assert settings.auth.mode == "oidc"
    assert str(settings.database.url_file) == "/tmp/files/database_url"
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.1.0/24", "10.0.2.0/24"]
    assert settings.workers.grace_s + 15 <= 120  # the workers' StopTimeout
    assert (settings.watch.archive, settings.listener) == (None, None)


def test_the_watcher_on_aws_is_one_and_follows_the_feed_that_is_named(
    resources: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    settings = settings_on_aws(resources, tmp_path, ChangeFeedUrl="https://archive.example")
    assert settings.watch.archive is not None
    archive = settings.archives[settings.watch.archive]
    assert isinstance(archive, DicomwebSettings)
    assert (archive.change_feed, archive.change_feed_url) == ("orthanc", "https://archive.example")
    check_there_is_one(resources, "Watcher", "WatcherTask", "Watches")
    (container,) = resources["WatcherTask"]["Properties"]["ContainerDefinitions"]
    assert container["Command"] == ["watch"]


def test_the_listener_on_aws_is_one_and_takes_what_its_senders_send(
    resources: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    settings = settings_on_aws(resources, tmp_path, SenderCidr="10.2.0.0/24", SenderAeTitles="CT_1,123")
    listener = settings.listener
    assert listener is not None
    assert listener.allowed_ae_titles == ("CT_1", "123")
    assert [str(network) for network in listener.allowed_hosts] == ["10.2.0.0/24"]
    check_there_is_one(resources, "StoreListener", "ListenerTask", "Listens")
    (container,) = resources["ListenerTask"]["Properties"]["ContainerDefinitions"]
    assert container["Command"] == ["serve", "--only", "listener"]
    assert container["PortMappings"] == [{"ContainerPort": listener.port}]
    assert resources["StoreListener"]["Properties"]["LoadBalancers"][0]["ContainerPort"] == listener.port
    assert resources["SenderTarget"]["Properties"]["Port"] == listener.port
    assert resources["ListenerGroup"]["Properties"]["SecurityGroupIngress"][0]["FromPort"] == listener.port


def check_there_is_one(resources: dict[str, dict[str, Any]], service: str, task: str, condition: str) -> None:
    """One at a time, also while an update replaces it; none where its condition does not hold."""
    assert resources[service]["Condition"] == resources[task]["Condition"] == condition
    properties = resources[service]["Properties"]
    assert properties["TaskDefinition"] == {"Ref": task}
    assert properties["DesiredCount"] == 1
    assert properties["DeploymentConfiguration"] == {"MinimumHealthyPercent": 0, "MaximumPercent": 100}
    assert properties["AvailabilityZoneRebalancing"] == "DISABLED"


def test_workers_on_aws_follow_their_cpu_between_their_bounds(resources: dict[str, dict[str, Any]]) -> None:
    """A metric that ECS publishes by itself; nothing in the template would publish another one."""
    target = resources["WorkerScaling"]["Properties"]
    assert target["ResourceId"] == {"Sub": "service/${Cluster}/${Workers.Name}"}
    assert (target["MinCapacity"], target["MaxCapacity"]) == ({"Ref": "WorkerCount"}, {"Ref": "MaxWorkerCount"})
    policy = resources["WorkerScalingPolicy"]["Properties"]
    assert policy["ScalingTargetId"] == {"Ref": "WorkerScaling"}
    tracked = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracked["PredefinedMetricSpecification"] == {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
    assert int(resources["Instances"]["Properties"]["MaxSize"]) >= 20  # the largest MaxWorkerCount


def holds(condition: Any, parameters: Mapping[str, str]) -> Any:
    """What a condition of a rule comes to, as CloudFormation reckons it: with texts."""
    if not isinstance(condition, dict):
        return condition
    ((name, asked),) = condition.items()
    if name == "Ref":
        return parameters[asked]
    first, *rest = (holds(each, parameters) for each in asked)
    return {
        "Equals": lambda: first == rest[0],
        "Not": lambda: not first,
        "Fn::Contains": lambda: rest[0] in first,
    }[name]()


def test_as_many_workers_as_are_kept_are_allowed_on_aws(template: dict[str, Any]) -> None:
    """Where they are not, a rule says so before anything is made."""
    parameters = template["Parameters"]
    least = parameters["WorkerCount"]
    rules = [rule for rule in template["Rules"].values() if "MaxWorkerCount" in str(rule)]
    assert parameters["MaxWorkerCount"]["Default"] >= least["Default"]
    for most in parameters["MaxWorkerCount"]["AllowedValues"]:
        for count in range(least["MinValue"], least["MaxValue"] + 1):
            given = {"WorkerCount": str(count), "MaxWorkerCount": str(most)}
            asserted = [
                holds(each["Assert"], given)
                for rule in rules
                if holds(rule["RuleCondition"], given)
                for each in rule["Assertions"]
            ]
            assert all(asserted) is (count <= most), given


def start_from_environment(folder: Path, name: str, content: str, **variables: str) -> list[str]:
    """Lines of a stand-in for the program that shows what it is given, and the file that a variable has become."""
    program, file = folder / "lung-nodules", Path("/tmp/files") / name
    program.write_text(f'#!/bin/sh\necho "$@"; env; cat {file}; stat -c %a {file}\n')
    program.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", f"FILE_{name}": content, **variables}
    order = [DEPLOY / "service" / "from-environment", "serve", "--only", "api"]
    try:
        done = subprocess.run(order, env=environment, capture_output=True, text=True, check=True)
    finally:
        file.unlink(missing_ok=True)
    return done.stdout.splitlines()


def test_variables_become_files_before_the_service_starts(tmp_path: Path) -> None:
    first, *rest = start_from_environment(tmp_path, "test_secret", "hush: yes\nsecond line", OTHER="kept")
    assert first == "serve --only api"
    assert "OTHER=kept" in rest
    assert rest[-3:] == ["hush: yes", "second line", "600"]
    assert not any(line.startswith("FILE_") for line in rest)


def test_every_file_of_a_task_on_aws_comes_through_the_image_s_shell(
    resources: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Debian's passes no variable on whose name it could not have set itself."""
    settings = filled_in(resources["Settings"]["Properties"]["Value"], PARAMETERS)
    for task in of_type(resources, "AWS::ECS::TaskDefinition").values():
        (container,) = task["ContainerDefinitions"]
        names = [secret["Name"].removeprefix("FILE_") for secret in container["Secrets"]]
        read = {f"/tmp/files/{name}" for name in names}
        assert {variable["Value"] for variable in container["Environment"]} <= read
        assert set(re.findall(r"_file: (\S+?)\}?\n", settings)) <= read
        for name in names:
            assert start_from_environment(tmp_path, name, "content")[-2:] == ["content", "600"]


@pytest.mark.parametrize("script", ["aws/push.sh", "gcp/push.sh"])
def test_a_script_that_pushes_is_valid_and_asks_for_what_it_needs(script: str) -> None:
    path = DEPLOY / script
    subprocess.run(["sh", "-n", path], check=True)
    done = subprocess.run([path], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "usage: push.sh" in done.stderr
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", path], check=True)


def test_cloud_run_says_under_which_paths_the_settings_find_the_secrets_and_what_its_logs_must_leave_out() -> None:
    text = (DEPLOY / "gcp" / "cloud-run.yaml").read_text(encoding="utf-8")
    spec = yaml.safe_load(text)["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    head = text.partition("apiVersion")[0]
    for name in ("database-url", "archive-password"):
        (item,) = next(each["secret"]["items"] for each in spec["volumes"] if each["name"] == name)
        assert f"{mounts[name]}/{item['path']}" in head
    assert 'httpRequest.requestUrl:"/v1/jobs?"' in head


def test_cloud_run_is_internal_with_one_gpu_and_secrets_as_files() -> None:
    service = yaml.safe_load((DEPLOY / "gcp" / "cloud-run.yaml").read_text(encoding="utf-8"))
    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    assert service["metadata"]["annotations"]["run.googleapis.com/ingress"] == "internal"
    template = service["spec"]["template"]
    assert all(isinstance(value, str) for value in template["metadata"]["annotations"].values())
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "1"
    spec = template["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["nodeSelector"]["run.googleapis.com/accelerator"] == "nvidia-l4"
    names = {variable["name"] for variable in container["env"]}
    assert names == {"LUNG_NODULES_SERVICE_CONFIG", "LUNG_NODULES_SERVICE__TRUSTED_PROXIES"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    assert container["startupProbe"]["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"]
