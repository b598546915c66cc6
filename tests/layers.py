"""Read the imports of a source tree and say where they break the order of the floors."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

# A module imports from its own folder and from lower floors only (docs/design.md).
FLOORS = {
    "errors": 0, "tree": 0, "version": 0, "convergence": 0, "garbage": 0, "normal": 0, "parsing": 0,
    "scipy_special": 0,
    "ad": 1,
    "numerics": 2,
    "ir": 3,
    "codegen": 4,
    "density": 5, "stress": 5, "dist": 5,
    "native": 5,
    "model": 6, "mcmc": 6, "vi": 6, "optimize": 6,
    "output": 7, "diagnostics": 7, "store": 7, "progress": 7, "inference": 7, "show": 7,
    "samplers": 8, "runs": 8,
    "__init__": 9,
}  # fmt: skip

# Folders that never meet, whatever their floors: densities stay plain NumPy, algorithms meet models at LogDensity.
FORBIDDEN = {
    "dist": {"ad", "ir", "codegen"},
    "model": {"mcmc", "vi", "optimize"},
    "mcmc": {"model", "vi", "optimize", "dist"},
    "vi": {"model", "mcmc", "optimize", "dist"},
    "optimize": {"model", "mcmc", "vi", "dist"},
}

# Third-party packages that are imported in one place each.
SINGLE_PLACE = {
    "arviz": {"output"},
    "arviz_base": set(),
    "xarray": {"output"},
    "llvmlite": {"codegen"},
    "cupy": {"codegen"},
    "rich": {"progress"},
    "zarr": {"store"},
}
DYNAMIC = {"__import__", "import_module"}
VAGUE_NAMES = {"utils", "util", "helpers", "misc", "common"}


@dataclass(frozen=True)
class Import:
    """One imported module: who imports what, where."""

    importer: str
    target: str
    file: str
    line: int


def read_imports(root: Path, package: str = "probad") -> list[Import]:
    """Every import of every module below ``root/package``, relative ones resolved."""
    found = []
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        importer = ".".join(parts)
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
                module = ".".join(p for p in (base, node.module) if p)
                targets = [f"{module}.{alias.name}" for alias in node.names]
            else:
                continue
            found += [Import(importer, t, str(path.relative_to(root)), node.lineno) for t in targets]
    return found


def _room(module: str, package: str) -> str | None:
    """The file or folder directly below the package that a module lives in."""
    parts = module.split(".")
    if parts[0] != package:
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__"


def violations(root: Path, package: str = "probad") -> list[str]:
    """What breaks the rules, one line each, with file and line."""
    imports = read_imports(root, package)
    out = []
    for name in sorted({p.relative_to(root / package).parts[0] for p in (root / package).rglob("*.py")}):
        if name.removesuffix(".py") not in FLOORS:
            out.append(f"{package}/{name}: no floor is known for it; give it one in tests/layers.py")
    for path in sorted((root / package).rglob("*.py")):
        here = str(path.relative_to(root))
        if path.stem in VAGUE_NAMES:
            out.append(f"{here}: a name that says nothing")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name | ast.Attribute) and DYNAMIC & {
                getattr(node, "id", ""),
                getattr(node, "attr", ""),
            }:
                out.append(f"{here}:{node.lineno}: an import by name at run time, which no reader of imports sees")
            if isinstance(node, ast.Assert):
                out.append(f"{here}:{node.lineno}: assert in the package; raise an error with a message")
    for i in imports:
        where = f"{i.file}:{i.line}: {i.importer} imports {i.target}"
        mine, theirs = _room(i.importer, package), _room(i.target, package)
        top = i.target.split(".")[0]
        if top in SINGLE_PLACE and mine not in SINGLE_PLACE[top]:
            out.append(f"{where}: {top} is imported in {' and '.join(sorted(SINGLE_PLACE[top]))} only")
        if theirs is None or mine == theirs:
            continue
        if theirs in FORBIDDEN.get(mine, ()):
            out.append(f"{where}: {mine} never imports {theirs}")
        elif FLOORS[theirs] > FLOORS[mine]:
            out.append(f"{where}: upward, from floor {FLOORS[mine]} to floor {FLOORS[theirs]}")
    return out + _cycles(imports, root, package)


def _cycles(imports: list[Import], root: Path, package: str) -> list[str]:
    """Modules that import each other in a circle, found by depth-first search."""
    modules = {".".join(p.relative_to(root).with_suffix("").parts) for p in (root / package).rglob("*.py")}
    edges: dict[str, dict[str, Import]] = {m: {} for m in modules}
    for i in imports:
        target = i.target
        while target and target not in modules:
            if f"{target}.__init__" in modules and target != package:
                # a folder's face counts as its __init__ unless a module inside is named
                target = f"{target}.__init__"
                break
            target = target.rpartition(".")[0]
        if target in modules and target != i.importer:
            edges[i.importer].setdefault(target, i)
    state: dict[str, int] = {}
    out: list[str] = []

    def visit(module: str, path: list[str]) -> None:
        state[module] = 1
        for target, i in edges[module].items():
            if state.get(target) == 1:
                ring = [*path[path.index(target) :], target] if target in path else [module, target]
                out.append(f"{i.file}:{i.line}: a circle of imports: {' -> '.join(ring)}")
            elif target not in state:
                visit(target, [*path, target])
        state[module] = 2

    for module in sorted(modules):
        if module not in state:
            visit(module, [module])
    return out


def _public_names(root: Path, package: str) -> set[str] | None:
    """What ``__all__`` of the package lists; None if it has none."""
    face = root / package / "__init__.py"
    for node in ast.parse(face.read_text()).body if face.exists() else []:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def public_api_violations(root: Path, package: str = "probad") -> list[str]:
    """Where models, examples and benchmarks reach past the public API."""
    allowed = {package, f"{package}.dist", f"{package}.numerics", f"{package}.errors", f"{package}.convergence"}
    public = _public_names(root, package)
    out = []
    for folder in ("models", "examples", "benchmarks"):
        for path in sorted((root / folder).rglob("*.py")) if (root / folder).is_dir() else []:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    targets = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    targets = [node.module or ""]
                    if node.module == package and public is not None:
                        private = sorted({alias.name for alias in node.names} - public)
                        targets += [f"{package}.{name}" for name in private]
                else:
                    continue
                for target in targets:
                    if target.split(".")[0] == package and target not in allowed:
                        out.append(f"{path.relative_to(root)}:{node.lineno}: {target} is not part of the public API")
    return out
