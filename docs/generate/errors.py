"""The error reference: the shape of every message that a user may meet, read from the source.

A message is written where it is raised: as a text, as an f-string, or built up under the name ``msg``. What varies is
shown in angle quotes. A message without a fixed word passes on that of another error, which stands on the page itself.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/atft_pipeline"

INTRODUCTION = """# Errors

Every error that you can mend is one line, `error: ...`, which names the file, column or parameter, the value found, and
what to do. Below are the messages of the source, sorted by kind and by the part of the project that raises them; what
varies stands in ‹angle quotes›. Search this page for the words that do not vary. Anything that ends in a traceback
instead is a fault of the project: please report it.
"""
WHAT_TO_DO = {
    "AtftError": "The command itself is wrong: a name that does not exist, or a selection that leaves nothing.",
    "ConfigError": "Change the parameter that the line names, in `conf/local` or with `--params`. "
    "[Configuration](configuration.md) has the type and limits of each.",
    "DataError": "Change the input, or the parameter of `ingest` that reads it. The stage that stopped saved nothing.",
    "ArtifactError": "Something stored is missing, damaged, or was made from something else. The line names the "
    "command that makes it again; `kedro status` shows all artifacts.",
    "UnavailableError": "This machine cannot do what was asked for. `auto` would have fallen back and said so on the "
    "run card; ask for something else, or move to another machine.",
    "TrainingError": "The numbers of a training mean nothing any more. The last good model stays; a lower "
    "`training.optimizer.lr` is the usual cure.",
    "OutOfMemoryError": "Smaller batches were tried already. Lower what the line names.",
}


class Message(NamedTuple):
    """One message.

    Attributes:
        kind: class of the error.
        shape: the text, what varies in angle quotes.
        file: where it is raised, relative to the package.
    """

    kind: str
    shape: str
    file: str


def kinds() -> dict[str, str]:
    """Errors that a user can mend, with what their docstrings say, the general ones first."""
    found = {"AtftError": "Any of the errors below; raised itself by the command line."}
    for path in [SOURCE / "errors.py", *sorted(SOURCE.rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            bases = {base.id for base in getattr(node, "bases", []) if isinstance(base, ast.Name)}
            if isinstance(node, ast.ClassDef) and bases & set(found):
                found.setdefault(node.name, (ast.get_docstring(node) or "").replace("``", "`"))
    return found


class Module:
    """One file of the source: its functions and constants by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.functions: dict[str, ast.FunctionDef] = {}
        self.values: dict[str, ast.expr] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                self.functions.setdefault(node.name, node)
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.values[node.targets[0].id] = node.value


class Reader:
    """Follows the messages of all files to their texts."""

    def __init__(self) -> None:
        self.modules = [Module(path) for path in sorted(SOURCE.rglob("*.py"))]
        self.kinds = kinds()

    def messages(self) -> list[Message]:
        """Every message of every kind, in the order of the files."""
        return list(dict.fromkeys(message for module in self.modules for message in self._of(module)))

    def _of(self, module: Module) -> Iterator[Message]:
        for function in module.functions.values():
            for node in ast.walk(function):
                kind, text = self._raised(node)
                if text is not None:
                    file = module.path.relative_to(SOURCE).as_posix()
                    for shape in self._shapes(text, module, function):
                        if re.search(r"[a-z]{2}", re.sub(r"‹[^›]*›", "", shape)):
                            yield Message(kind, " ".join(shape.split()), file)

    def _raised(self, node: ast.AST) -> tuple[str, ast.expr | None]:
        """Kind and text of what a statement raises; ``require`` raises a ConfigError."""
        call = node.exc if isinstance(node, ast.Raise) else node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            return "", None
        if call.func.id == "require" and isinstance(node, ast.Expr):
            named = [word.value for word in call.keywords if word.arg == "message"]
            return "ConfigError", [*call.args, *named][-1]
        if isinstance(node, ast.Raise) and call.func.id in self.kinds and call.args:
            return call.func.id, call.args[0]
        return "", None

    def _shapes(self, text: ast.expr, module: Module, function: ast.FunctionDef, depth: int = 0) -> list[str]:
        """The texts that an expression may have."""
        shapes = [f"‹{_name(text)}›"]
        match text:
            case ast.Constant():
                shapes = [str(text.value)]
            case ast.JoinedStr():
                shapes = [self._joined(text, module)]
            case ast.IfExp():
                parts = (text.body, text.orelse)
                shapes = [shape for part in parts for shape in self._shapes(part, module, function, depth)]
            case ast.BinOp(op=ast.Add()):
                left, right = (self._shapes(part, module, function, depth) for part in (text.left, text.right))
                shapes = [one + other for one in left for other in right]
            case ast.Name():
                shapes = self._built(text, module, function, depth)
            case ast.Call() if depth < 4:
                shapes = self._called(text, module, depth)
        return shapes

    def _built(self, name: ast.Name, module: Module, function: ast.FunctionDef, depth: int) -> list[str]:
        """The texts of a name: what was assigned to it last before its use, and what was added since."""
        if name.id in module.values and name.id.isupper():
            return self._shapes(module.values[name.id], module, function, depth)
        steps = [
            node
            for node in ast.walk(function)
            if isinstance(node, ast.Assign | ast.AugAssign)
            and node.lineno < name.lineno
            and any(_is(target, name.id) for target in getattr(node, "targets", [getattr(node, "target", None)]))
        ]
        steps.sort(key=lambda node: node.lineno)
        starts = [place for place, node in enumerate(steps) if isinstance(node, ast.Assign)]
        if not starts:
            return [f"‹{name.id}›"]
        shapes = self._shapes(steps[starts[-1]].value, module, function, depth + 1)
        for node in steps[starts[-1] + 1 :]:
            added = self._shapes(node.value, module, function, depth + 1)
            shapes = [shape + more for shape in shapes for more in added]
        return shapes

    def _called(self, call: ast.Call, module: Module, depth: int) -> list[str]:
        """The texts that a function of the project returns, or that a method of a text gives."""
        if isinstance(call.func, ast.Attribute):
            found = module.values.get(call.func.value.id) if isinstance(call.func.value, ast.Name) else None
            if call.func.attr == "format" and isinstance(found, ast.Constant):
                return [re.sub(r"\{(\w+)[^}]*\}", r"‹\1›", found.value)]
        of_self = isinstance(call.func, ast.Attribute) and _is(call.func.value, "self")
        named = call.func.attr if of_self else call.func.id if isinstance(call.func, ast.Name) else ""
        for other in [module, *self.modules]:
            inner = other.functions.get(named)
            if inner is not None:
                returned = [node.value for node in ast.walk(inner) if isinstance(node, ast.Return) and node.value]
                return [shape for value in returned for shape in self._shapes(value, other, inner, depth + 1)]
        return [f"‹{_name(call)}›"]

    def _joined(self, text: ast.JoinedStr, module: Module) -> str:
        parts = []
        for part in text.values:
            held = part.value if isinstance(part, ast.FormattedValue) else part
            constant = module.values.get(held.id) if isinstance(held, ast.Name) else held
            fixed = isinstance(constant, ast.Constant)
            parts.append(str(constant.value) if fixed else f"‹{_name(held)}›")
        return "".join(parts)


def _is(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _name(node: ast.expr) -> str:
    """A short name of a value that varies."""
    inner: ast.expr | None = node
    while inner is not None and not isinstance(inner, ast.Name | ast.Attribute):
        inner = _inside(inner)
    if inner is None:
        return "…"
    return (inner.id if isinstance(inner, ast.Name) else inner.attr).replace("_", " ").strip()


def _inside(node: ast.expr) -> ast.expr | None:
    """The part of an expression that it is named by."""
    found: list[ast.expr] = []
    match node:
        case ast.Subscript() | ast.Starred() | ast.FormattedValue():
            found = [node.value]
        case ast.Call():
            inside = [*node.args, *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
            found = [value for value in inside if not isinstance(value, ast.Constant) and not _is(value, "str")]
            found = found or [node.func]
        case ast.GeneratorExp() | ast.ListComp() | ast.SetComp():
            found = [node.generators[0].iter]
        case ast.IfExp():
            found = [node.body]
        case ast.BoolOp():
            found = node.values
        case ast.BinOp():
            found = [node.left]
        case ast.JoinedStr():
            found = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
    return found[0] if found else None


def reference(messages: list[Message]) -> str:
    """The whole page, in Markdown."""
    parts = [INTRODUCTION]
    for kind, says in kinds().items():
        of_kind = [message for message in messages if message.kind == kind]
        if not of_kind:
            continue
        parts.append(f"## {kind}\n\n{says} {WHAT_TO_DO.get(kind, '')}\n")
        for package in dict.fromkeys(message.file.split("/")[0] for message in of_kind):
            rows = [message for message in of_kind if message.file.split("/")[0] == package]
            parts.append(f"### {package.removesuffix('.py')} {{: #{kind}-{package.removesuffix('.py')} }}\n")
            parts += ["| message | raised in |", "|---|---|"]
            parts += [f"| {_cell(row.shape)} | `{row.file}` |" for row in rows]
            parts.append("")
    return "\n".join(parts)


def _cell(shape: str) -> str:
    """The message as code, what to do on a line of its own."""
    said, sign, advice = shape.partition("; ")
    lines = [said, advice] if sign else [said]
    return "<br>".join(f"`{line.replace('|', '∣').replace('`', chr(39))}`" for line in lines)
