"""What GitHub reads: workflows, forms for issues, the citation; and the hooks of pre-commit."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from rs_tensor_encoder import __version__

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
NAMES = ["ci", "release"]

needs_github = pytest.mark.skipif(
    not GITHUB.is_dir(), reason="not a git checkout: a source distribution has no workflows"
)


def _text(name):
    return (GITHUB / f"workflows/{name}.yml").read_text()


def _project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _makes(text):
    """Targets of the calls of make, with the variables that they are given."""
    calls = re.findall(r"\bmake ([a-z][a-z -]*(?:[A-Z]+=\w+)?)$", text, re.MULTILINE)
    return {word for words in calls for word in words.split()}


@needs_github
def test_every_workflow_is_tested():
    assert sorted(path.stem for path in (GITHUB / "workflows").iterdir()) == NAMES


@needs_github
@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_parses_and_its_actions_are_pinned(name):
    workflow = yaml.safe_load(_text(name))
    jobs = workflow["jobs"]
    for job_name, job in jobs.items():
        assert set(job.get("needs", [])) <= jobs.keys(), job_name
    # The line, not the value: the tag is in its comment.
    lines = [line for line in _text(name).splitlines() if "uses:" in line]
    assert len(lines) == sum("uses" in step for job in jobs.values() for step in job["steps"])
    for line in lines:
        assert re.fullmatch(r" +- uses: [\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+(\.\d+){2}", line), line


@needs_github
def test_an_action_is_pinned_to_one_commit():
    pins = re.findall(r"uses: (\S+)@(\w+)  # (\S+)", "".join(map(_text, NAMES)))
    assert len(set(pins)) == len({action for action, *_ in pins})


@needs_github
@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_may_read_only_unless_a_job_says_otherwise(name):
    workflow = yaml.safe_load(_text(name))
    assert workflow["permissions"] == {"contents": "read"}
    assert {job for job, of in workflow["jobs"].items() if "permissions" in of} <= {"publish"}
    assert workflow["concurrency"]["group"]
    checkouts = [
        step["with"]["persist-credentials"]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert checkouts
    assert not any(checkouts)


@needs_github
@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_runs_what_there_is(name):
    makefile = (ROOT / "Makefile").read_text()
    targets = {word for word in _makes(_text(name)) if "=" not in word}
    assert len(targets) >= 5
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    scripts = re.findall(r"packaging/[\w.]+", _text(name))
    assert scripts
    for script in scripts:
        assert (ROOT / script).is_file()


@needs_github
def test_ci_runs_what_must_pass_before_a_change_lands():
    wanted = _makes((ROOT / ".ci/run").read_text())
    assert {"lint", "test", "flake-test", "fuzz"} <= wanted
    assert _makes(_text("ci")) == wanted | {"wheel"}
    # YAML 1.1 reads the key `on` as true.
    assert yaml.safe_load(_text("ci"))[True] == {
        "push": {"branches": ["main"]},
        "pull_request": None,
    }
    # A job that may be left out, or may fail, demands nothing.
    for words in ("if:", "continue-on-error", "|| true", "PYTEST"):
        assert words not in _text("ci")


@needs_github
def test_ci_tests_the_oldest_and_the_newest_python():
    found = yaml.safe_load(_text("ci"))["jobs"]["test"]["strategy"]["matrix"]["python"]
    tried = re.findall(r"\w+:(3\.\d+)", (ROOT / "packaging/wheel_test.sh").read_text())
    oldest = _project()["requires-python"].removeprefix(">=")
    assert found == [oldest, max(tried, key=lambda version: int(version[2:]))]


@needs_github
def test_ci_installs_packages_that_the_makefile_names():
    packages = re.findall(r"apt-get install -y (.+)$", _text("ci"), re.MULTILINE)
    assert packages
    assert set(" ".join(packages).split()) <= set((ROOT / "Makefile").read_text().split())


@needs_github
def test_forms_for_issues_ask_each_thing_once():
    forms = GITHUB / "ISSUE_TEMPLATE"
    names = {path.name for path in forms.iterdir()}
    assert names == {"bug.yml", "config.yml", "dataset.yml"}
    assert yaml.safe_load((forms / "config.yml").read_text()) == {"blank_issues_enabled": True}
    for name in sorted(names - {"config.yml"}):
        form = yaml.safe_load((forms / name).read_text())
        assert form["name"]
        assert form["description"]
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert {field["type"] for field in fields} <= {"input", "textarea"}
        ids = [field["id"] for field in fields]
        labels = [field["attributes"]["label"] for field in fields]
        assert len(set(ids)) == len(ids) == len(set(labels))
        # `render` and `value` are unknown to inputs, and GitHub rejects such a form.
        for field in fields:
            if field["type"] == "input":
                assert field["attributes"].keys() <= {"label", "description", "placeholder"}


@needs_github
def test_what_templates_name_is_there():
    text = "".join(
        path.read_text() for path in GITHUB.rglob("*.*") if "workflows" not in path.parts
    )
    files = re.findall(r"`((?:[\w.-]+/)*[\w-]*[.]?[\w-]+[.](?:md|toml)|[.]ci/run)`", text)
    assert {"tests/mutants.toml", ".ci/run", "SECURITY.md", "CHANGELOG.md"} <= set(files)
    for file in files:
        assert (ROOT / file).is_file(), file


def test_hooks_are_the_commands_of_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    tools = re.compile(r"\b(ruff|mypy|cython-lint|lint-imports)\b[^'\n]*")
    wanted = {found[0] for found in tools.finditer(recipe)}
    assert len(wanted) == recipe.count("\n")
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    entries = [hook["entry"] for hook in repository["hooks"]]
    assert {tools.search(entry)[0] for entry in entries} == wanted - {"mypy"}
    for entry in entries:
        assert ".venv/bin" in entry


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = _project()
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["version"] == __version__
    assert citation["title"] == project["name"]
    assert citation["abstract"] == project["description"]
    assert citation["license"] == project["license"]
    assert citation["keywords"] == project["keywords"]
    holder = re.search(r"Copyright \(c\) \d+ (.+)", (ROOT / "LICENSE").read_text())[1]
    assert citation["authors"] == [{"name": holder}]
