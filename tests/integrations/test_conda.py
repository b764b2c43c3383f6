"""The recipe for conda-forge agrees with pyproject.toml and can be rendered."""

from __future__ import annotations

import re

import pytest
import yaml

from lad_mpi import __version__

#: Name in conda by name in pip, for packages with two names.
CONDA_NAMES = {"matplotlib": "matplotlib-base", "zlib-ng": "python-zlib-ng"}


@pytest.fixture(scope="module")
def recipe(integrations):
    return yaml.safe_load((integrations / "conda" / "recipe.yaml").read_text())


def split(requirement):
    """Return name and bounds; a noarch package cannot have markers."""
    found = re.fullmatch(r"([A-Za-z0-9_-]+) ?(>=[0-9.]+(?:,<[0-9.]+)?)(?:;.*)?", requirement)
    return found.groups()


def of_pip(requirements):
    own = [split(entry) for entry in requirements if not entry.startswith("lad_mpi[")]
    return {CONDA_NAMES.get(name, name): bounds for name, bounds in own}


def test_version_license_and_command_are_those_of_the_package(recipe, pyproject):
    project = pyproject["project"]
    assert recipe["context"]["version"] == __version__
    assert recipe["about"]["summary"] == project["description"]
    assert recipe["about"]["license"] == project["license"]
    (command,) = project["scripts"].items()
    assert recipe["build"]["python"]["entry_points"] == [" = ".join(command)]


def test_dependencies_are_those_of_pip(recipe, pyproject):
    project, requirements = pyproject["project"], recipe["requirements"]
    assert requirements["run"][0] == "python >=${{ python_min }}"
    assert ">=" + recipe["context"]["python_min"] == project["requires-python"]
    assert dict(map(split, requirements["run"][1:])) == of_pip(project["dependencies"])
    extras = project["optional-dependencies"]
    analysis = of_pip([*extras["analysis"], *extras["data"]])
    assert dict(map(split, requirements["run_constraints"])) == analysis
    host = requirements["host"]
    assert host[:2] == ["python ${{ python_min }}.*", "pip"]
    assert dict(map(split, host[2:])) == of_pip(pyproject["build-system"]["requires"])


@pytest.mark.integrations
def test_rattler_build_renders_the_recipe(integrations):
    rattler_build = pytest.importorskip(
        "rattler_build", reason="`make test-integrations` installs rattler_build"
    )
    path = integrations / "conda" / "recipe.yaml"
    recipe = rattler_build.Stage0Recipe.from_file(path)
    (variant,) = recipe.render(rattler_build.VariantConfig({}))
    rendered = variant.recipe.to_dict()
    assert rendered["package"] == {"name": "lad_mpi", "version": __version__}
    assert "${{" not in str(rendered["requirements"])
    # The renderer refuses what it does not know, so a recipe that passes has no misspelt key.
    wrong = path.read_text().replace("run_constraints:", "run_constraint:")
    with pytest.raises(rattler_build.RattlerBuildError, match="run_constraint"):
        rattler_build.Stage0Recipe.from_yaml(wrong)
