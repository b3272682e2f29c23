"""What code an artifact was made with: a hash of a module and of all that it imports from its package."""

import ast
import functools
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from atft_pipeline.files import refusal, replace_text, sweep
from atft_pipeline.lineage import hash_bytes, hash_file, hash_json


@dataclass(frozen=True)
class Tree:
    """What was read of one file.

    Attributes:
        state: size, times of change and inode, by which the file is known to be unchanged.
        digest: of its syntax tree without docstrings.
        imports: dotted names that it imports, modules and names inside of them.
        texts: its texts that may name files beside it.
    """

    state: list[int]
    digest: str
    imports: list[str]
    texts: list[str]


class CodeHashes:
    """Hashes of modules; what was read of a file that is unchanged is remembered.

    Args:
        memory: JSON file that remembers; ``None`` reads every file once a process.
        package: modules outside of it are not followed.
    """

    def __init__(self, memory: Path | None, package: str = "atft_pipeline") -> None:
        self._memory = memory
        self._package = package
        self._trees: dict[str, Tree] = {}
        self._seen: dict[str, tuple[str, list[str]]] = {}
        self._changed = False

    def of(self, module: str) -> str:
        """Hash what a module and everything that it imports from the package would do.

        Comments, docstrings and layout do not count: the syntax trees are hashed, not the text. The files that the code
        names beside it count, such as the template of a page.

        Args:
            module: dotted name, such as ``atft_pipeline.prices.ingest``.
        """
        found: dict[str, str] = {}
        waiting = [module]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name], imports = self._module(name)
                waiting += imports
        return hash_json(found)

    def save(self) -> None:
        """Remember for the next time; where the disk refuses, the next time reads again."""
        if self._memory is None or not self._changed:
            return
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            sweep(self._memory.parent)
            replace_text(self._memory, json.dumps({path: asdict(tree) for path, tree in self._trees.items()}))
        except OSError as error:
            if refusal(error) is None:
                raise

    def _module(self, name: str) -> tuple[str, list[str]]:
        """Hash of a module and the modules that it imports."""
        if name not in self._seen:
            file = module_file(name)
            if file is None:
                self._seen[name] = "", []
            else:
                tree = self._tree(file)
                beside = [hash_file(path) for text in tree.texts if (path := file.parent / text).is_file()]
                inside = [found for found in tree.imports if self._inside(found)]
                self._seen[name] = hash_json([tree.digest, *beside]), inside
        return self._seen[name]

    def _inside(self, name: str) -> bool:
        return name.partition(".")[0] == self._package and module_file(name) is not None

    def _tree(self, file: Path) -> Tree:
        """What a file holds, read again where it changed."""
        if not self._trees and self._memory is not None:
            self._trees = dict(remembered(self._memory))
        stat = file.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._trees.get(str(file))
        if known is None or known.state != state:
            known = self._trees[str(file)] = read_tree(file, state)
            self._changed = True
        return known


def remembered(memory: Path) -> Iterator[tuple[str, Tree]]:
    """What an earlier process read; a damaged memory is none."""
    try:
        for path, fields in json.loads(memory.read_text(encoding="utf-8")).items():
            yield path, Tree(**fields)
    except (OSError, ValueError, TypeError, AttributeError):
        return


def read_tree(file: Path, state: list[int]) -> Tree:
    """Read a file of Python."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports.add(node.module)
            imports |= {f"{node.module}.{alias.name}" for alias in node.names}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return Tree(state, hash_bytes([ast.dump(tree).encode()]), sorted(imports), sorted(filter(may_name_file, texts)))


def may_name_file(text: str) -> bool:
    """Whether a text may be the name of a file that is no module."""
    return 0 < len(text) <= 100 and "." in text and not {"/", "\0", "\n", " "} & {*text} and not text.endswith(".py")


@functools.cache
def module_file(name: str) -> Path | None:
    """File of a module, ``None`` for a name inside one; nothing is imported, as ``find_spec`` of a module would."""
    top, *parts = name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations)), *parts)
    candidates = [path / "__init__.py", *([path.with_name(f"{path.name}.py")] if parts else [])]
    return next((file for file in candidates if file.is_file()), None)
