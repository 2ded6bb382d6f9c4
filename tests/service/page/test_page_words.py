"""The page knows the words of the line, and its lock file names no other registry: read from the sources."""

import json
import re

import pytest
from page_service import PAGE, REPOSITORY

from lung_nodules.service.api.app import create_app
from lung_nodules.service.api.documents import declared_routes
from lung_nodules.service.jobs.model import JobState, Priority, Step
from lung_nodules.service.reviews.model import Verdict
from lung_nodules.service.security.access import Role, rule_of
from lung_nodules.service.settings import ServiceSettings
from lung_nodules.stages.quality import Outcome
from lung_nodules.stages.report_model import Density, Side

LANGUAGES = ("english", "chinese")


def words(language):
    return (PAGE / "source" / "words" / f"{language}.ts").read_text(encoding="utf-8")


def keys(language):
    """Names of all words, quoted or not."""
    return set(re.findall(r'^\s*"?([\w-]+)"?: ', words(language), re.MULTILINE)) | set(
        re.findall(r'[{,] "?([\w-]+)"?: ', words(language))
    )


def quality_codes():
    source = (REPOSITORY / "lung_nodules" / "stages" / "quality.py").read_text(encoding="utf-8")
    return set(re.findall(r'(?:Check|_not_stated)\(\s*"([a-z-]+)"', source))


def stages():
    source = (REPOSITORY / "lung_nodules" / "pipeline.py").read_text(encoding="utf-8")
    return set(re.findall(r'stage\("(\w+)"\)', source))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "codes",
    [
        set(JobState),
        set(Step),
        {each.name for each in Priority},
        set(Role),
        set(Verdict),
        set(Outcome),
        set(Density),
        set(Side),
    ],
    ids=["states", "steps", "priorities", "roles", "verdicts", "outcomes", "densities", "sides"],
)
def test_every_value_that_the_service_may_send_has_a_word(language, codes):
    assert {str(code) for code in codes} <= keys(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_check_and_stage_of_the_line_has_a_word(language):
    assert len(quality_codes()) >= 13
    assert len(stages()) >= 10
    assert quality_codes() | stages() <= keys(language)


def test_the_lock_file_names_no_registry_but_the_public_one():
    packages = json.loads((PAGE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    addresses = [package["resolved"] for package in packages.values() if "resolved" in package]
    assert all(address.startswith("https://registry.npmjs.org/") for address in addresses)
    assert all(package.get("integrity") for path, package in packages.items() if path)


def test_every_package_is_pinned():
    package = json.loads((PAGE / "package.json").read_text(encoding="utf-8"))
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values())


def refusal_codes(folder):
    """Codes of the refusals that are raised in a folder of the library."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / folder).rglob("*.py"))
    return set(re.findall(r'(?:InputRefusal|ModelRefusal|UploadRefusal|ArchiveRefusal)\(\s*"([a-z-]+)"', sources))


def test_every_reason_for_which_a_study_is_refused_has_words():
    known = set(re.findall(r'^  "?([\w-]+)"?: \[', words("reasons"), re.MULTILINE))
    codes = refusal_codes("lung_nodules/stages") | refusal_codes("lung_nodules/archive")
    assert len(codes) >= 20
    assert codes <= known


def test_every_operation_that_the_audit_log_may_name_has_words():
    audited = {route.name for route in declared_routes(create_app(ServiceSettings())) if rule_of(route.dependant)}
    known = set(re.findall(r"^  (\w+): \[", words("actions"), re.MULTILINE))
    assert len(audited) >= 25
    assert audited == known
