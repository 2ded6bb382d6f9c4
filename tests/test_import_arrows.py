"""The arrows between the rooms, read from the imports: what may know what.

The picture is that of the architecture: stages know networks, guidelines, settings and errors; writers know the report,
the volume and the outlines; training knows evaluation, which knows cohorts, and all of them the line; nothing knows the
graph.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
STAGES = (
    "instances",
    "series",
    "volume",
    "lungs",
    "quality",
    "detection",
    "segmentation",
    "nodules",
    "classification",
    "report",
)

# The longest prefix of a module's name says which room it is in.
ROOMS = {
    "lung_nodules": "base",
    "lung_nodules.errors": "base",
    "lung_nodules.settings": "base",
    "lung_nodules.surroundings": "base",
    "lung_nodules.progress": "base",
    "lung_nodules.timings": "base",
    "lung_nodules.guidelines": "guidelines",
    "lung_nodules.networks": "networks",
    "lung_nodules.stages": "stages",
    "lung_nodules.writers": "writers",
    "lung_nodules.publication": "line",
    "lung_nodules.results": "line",
    "lung_nodules.corrections": "line",
    "lung_nodules.provenance": "line",
    "lung_nodules.execution": "line",
    "lung_nodules.pipeline": "pipeline",
    "lung_nodules.phantom": "phantom",
    "lung_nodules.cohorts": "cohorts",
    "lung_nodules.evaluation": "evaluation",
    "lung_nodules.training": "training",
    "lung_nodules.explanation": "learning",
    "lung_nodules.optimisation": "learning",
    "lung_nodules.archive": "archive",
    "lung_nodules.batch": "batch",
    "lung_nodules.service": "edge",
    "lung_nodules.gateway": "gateway",
    "lung_nodules.packaging": "packaging",
    "lung_nodules.commands": "edge",
    "lung_nodules.cli": "edge",
    "lung_nodules.tables": "edge",
    "lung_nodules.__main__": "edge",
    "operators": "operators",
    "app": "app",
    "__main__": "app",
}
LINE = {"base", "guidelines", "networks", "stages", "phantom", "line", "pipeline"}  # what may be learned and judged
MAY_IMPORT = {
    "base": {"base"},
    "guidelines": {"base", "guidelines"},
    "networks": {"base", "networks"},
    "stages": {"base", "guidelines", "networks", "stages"},
    "writers": {"base", "stages", "writers"},
    "line": {"base", "networks", "stages", "writers", "line"},
    "pipeline": {"base", "networks", "stages", "line"},
    "phantom": {"base", "phantom"},
    "archive": {"base", "archive", "stages"},
    "batch": {"base", "networks", "stages", "line", "pipeline", "archive", "batch"},
    "gateway": {"base", "gateway"},
    "packaging": {"base", "packaging"},
    "cohorts": {*LINE, "cohorts"},
    "evaluation": {*LINE, "cohorts", "evaluation"},
    "training": {*LINE, "cohorts", "evaluation", "training"},
    "learning": {*LINE, "cohorts", "evaluation", "training", "learning"},
    "edge": {
        "base",
        "networks",
        "stages",
        "line",
        "pipeline",
        "phantom",
        "archive",
        "batch",
        "gateway",
        "packaging",
        "cohorts",
        "evaluation",
        "training",
        "learning",
        "edge",
    },
    "operators": {"base", "stages", "line", "operators"},
    "app": {"base", "line", "edge", "operators", "app"},
}
# What a room must not import from outside.
FOREIGN = {"stages": ("fastapi", "typer", "rich"), "lung_nodules": ("holoscan", "monai.deploy")}


def name_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    name_of(path): ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("lung_nodules", "app", "operators")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
} | {"__main__": ast.parse((REPOSITORY / "__main__.py").read_text(encoding="utf-8"))}


def room_of(module: str) -> str | None:
    while module:
        if module in ROOMS:
            return ROOMS[module]
        module = module.rpartition(".")[0]
    return None


def imports_of(module: str) -> Iterator[tuple[str, str]]:
    """Each imported module, wherever the import stands, with the imported name (empty for `import x`)."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "") if inner in MODULES else (str(node.module), alias.name)


def reachable_from(module: str) -> set[str]:
    """The modules of `stages` that a module knows, directly or through others of them."""
    known: set[str] = set()
    waiting = [module]
    while waiting:
        for target, _ in imports_of(waiting.pop()):
            if room_of(target) == "stages" and target not in known:
                known.add(target)
                waiting.append(target)
    return known


@pytest.mark.parametrize("module", MODULES)
def test_a_module_knows_only_the_rooms_that_its_arrows_point_to(module: str) -> None:
    room = room_of(module)
    assert room is not None, f"{module} is in no room: give it one in ROOMS"
    for target, _ in imports_of(module):
        other = room_of(target) if target.split(".")[0] in ("lung_nodules", "app", "operators") else None
        assert other is None or other in MAY_IMPORT[room], f"{module} ({room}) must not import {target} ({other})"


@pytest.mark.parametrize("module", MODULES)
def test_a_room_stays_free_of_what_is_not_its_business(module: str) -> None:
    forbidden = (name for scope, names in FOREIGN.items() if scope in module.split(".") for name in names)
    for name in forbidden:
        for target, _ in imports_of(module):
            assert not f"{target}.".startswith(f"{name}."), f"{module} must not import {target}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_knows_no_later_one(stage: str) -> None:
    known = reachable_from(f"lung_nodules.stages.{stage}")
    later = {f"lung_nodules.stages.{name}" for name in STAGES[STAGES.index(stage) + 1 :]}
    assert known.isdisjoint(later)


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name) in ("stages", "writers")])
def test_stages_and_writers_know_the_types_of_a_stage_and_not_its_functions(module: str) -> None:
    stages = {f"lung_nodules.stages.{name}" for name in STAGES} - {module}
    for target, name in imports_of(module):
        assert target not in stages or name[:1].isupper(), f"{module} must not import {name or 'all'} from {target}"


def test_the_pictures_are_complete() -> None:
    assert set(ROOMS.values()) == set(MAY_IMPORT)
    assert {f"lung_nodules.stages.{name}" for name in STAGES} <= set(MODULES)
    assert {f"operators.{name}_operator" for name in STAGES} <= set(MODULES)


def test_help_needs_no_heavy_library() -> None:
    code = "import sys, lung_nodules.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "monai", "numpy", "pydicom", "highdicom", "openvino", "holoscan", "pydantic"}.isdisjoint(loaded)
