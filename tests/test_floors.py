"""The house: imports go down only, and the habits that keep it readable."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"cli": 4, "commands": 4, "__main__": 4, "__init__": 4, "investigator": 3, "retrieval": 2, "differencing": 2, "videoqa": 2,
          "serving": 2, "extract": 1, "models": 0, "configs": 0, "sample": 0, "errors": -1}
INSIDE_EXTRACT = {
    0: ["frames"],
    1: ["sampling", "features", "decode", "store", "videos", "remote"],
    2: ["extractor", "framewise", "windows", "registry"],
    3: [],  # the pipeline and what is made for it: every module that is not named here
    4: ["run", "estimate", "api", "command", "doctor"],
}
NOT_PACKAGES = {"tests", "benchmarks", "docs", "build", "dist", "output"}
LONG_NETWORKS: set[str] = set()  # files over 300 lines, networks only


def package_files():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if parts[0] not in NOT_PACKAGES and not any(part.startswith(".") for part in parts) and parts != ("main.py",):
            yield path


FILES = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in package_files()]


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def names_of_the_root():
    return {entry.stem for entry in ROOT.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file()} - {"__init__"}


def imports(path):
    """(line, module as seen from the root, imported at once) of every import of ours, and of absolute imports."""
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, None, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, None, node.module or ""
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= len(package) + 1, f"line {node.lineno} climbs out of the package"
            base = package[:len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for name in node.names:
                yield node.lineno, ".".join(base + ([] if (ROOT / Path(*base)).with_suffix(".py").is_file() and base
                                                    else [name.name])), None


def floor(module):
    top, _, rest = module.partition(".")
    if top == "extract":
        name = rest.partition(".")[0]
        return (1, next((level for level, names in INSIDE_EXTRACT.items() if name in names), 3 if name else 0))
    return (FLOORS.get(top, 4), 0)  # what the root itself defines, __version__ say, depends on nothing


@pytest.mark.parametrize("path", FILES)
def test_imports_go_down_only(path):
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    own_top = own.partition(".")[0]
    for line, ours, _ in imports(path):
        if ours is None or ours == "__version__":
            continue
        top = ours.partition(".")[0]
        assert floor(ours) <= floor(own), f"{own}, line {line}: imports {ours} from a floor above"
        if floor(ours)[0] == floor(own)[0] == 2 and top != own_top:
            assert ours.startswith("serving.guards"), f"{own}, line {line}: imports its neighbour {ours}"


@pytest.mark.parametrize("path", FILES)
def test_our_own_packages_are_imported_relatively(path):
    for line, _, absolute in imports(path):
        top = (absolute or "").partition(".")[0]
        assert top not in names_of_the_root() | {"clipreel"}, f"{path}, line {line}: import {absolute} with dots"


@pytest.mark.parametrize("path", FILES)
def test_habits(path):
    tree = tree_of(path)
    assert path.stem not in {"utils", "util", "common", "core", "helpers", "helper", "misc"}
    assert not {"utils", "common", "core", "helpers"} & set(path.relative_to(ROOT).parts)
    if str(path.relative_to(ROOT)) not in LONG_NETWORKS:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 300
    assert ast.get_docstring(tree), "says nothing of what it is"
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"line {node.lineno}: a bare except"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "eval", "exec"}, f"line {node.lineno}: {node.func.id}("


def test_the_walk_sees_the_house():
    seen = {str(path.relative_to(ROOT)) for path in package_files()}
    assert {"cli.py", "errors.py", "extract/store/hdf5.py", "models/registry.py", "configs/load.py"} <= seen


def test_a_wrong_import_would_be_found():
    assert floor("extract.pipeline") > floor("extract.store.files") > floor("extract.frames") > floor("models.base")
    assert floor("models.base") > floor("errors")
    assert floor("retrieval.train") > floor("extract.api")
    lines = list(imports(ROOT / "extract" / "store" / "hdf5.py"))
    assert "errors" in {ours for _, ours, _ in lines}
    assert "extract.store.marks" in {ours for _, ours, _ in lines}
    assert "extract.features" in {ours for _, ours, _ in lines}
    assert "numpy" in {absolute for _, _, absolute in lines}
