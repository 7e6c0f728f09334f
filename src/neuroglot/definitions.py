"""Finds what the package's modules define and refer to, without importing them.

``provenance`` follows the references and explains what counts. A *unit* counts as a whole or not at
all:

- ``module:name``: a definition at the top level of a module;
- ``module:name[key]``: one entry of a table, which is a dictionary;
- ``module``: the code besides definitions that runs when the module is imported;
- ``module:*``: everything that can be reached through the module.
"""

import ast
import builtins
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = __package__
ROOT = Path(__file__).parent

# The module that makes errors. Arguments of its functions are only words, as those of ``raise``.
ERRORS = f"{PACKAGE}.errors"

# Modules that change no result. A change of ``fingerprint`` shows in the values that it returns.
UNCOUNTED = frozenset(
    {
        ERRORS,
        f"{PACKAGE}.analyses.described",
        f"{PACKAGE}.definitions",
        f"{PACKAGE}.progress",
        f"{PACKAGE}.provenance",
    }
)

# Definitions that change no result: the steps' descriptions of their variables.
WORDS = re.compile(rf"{PACKAGE}\.analyses\.\w+\.steps\.\w+:VARIABLES")

# Tables of which a job reads one entry, which it names as a target. Of the table itself only the
# annotated type counts. ``CorpusSettings`` and ``TaskSettings`` are unions: an entry is a class.
TABLES = frozenset(
    {
        f"{PACKAGE}.corpora:CorpusSettings",
        f"{PACKAGE}.models.architectures:ARCHITECTURES",
        f"{PACKAGE}.tasks:TaskSettings",
    }
)

# Functions that import a module by a name from their caller, which names the module as a target.
LOADERS = frozenset(
    {
        f"{PACKAGE}.analyses.named:looked_at",
        f"{PACKAGE}.analyses.named:named_neurons",
        f"{PACKAGE}.analyses.run:drawing",
        f"{PACKAGE}.analyses.run:run_step",
    }
)

# Decorators that do not read annotations.
PLAIN_DECORATORS = frozenset(
    {
        *("abstractmethod", "classmethod", "override", "property", "staticmethod"),
        *("cache", "cached_property", "contextmanager", "lru_cache"),
        *("inference_mode", "no_grad"),
    }
)

_BUILTINS = frozenset(dir(builtins)) | {"__class__", "__file__", "__module__", "__qualname__"}
_MODULE_ATTRIBUTES = frozenset(one for one in _BUILTINS if one.startswith("__"))
_REACHES_MODULE = frozenset({"eval", "exec", "globals"})
_IMPORTERS = frozenset({"__import__", "importlib.import_module", "importlib.__import__"})
_LAYOUT = ("ctx", "kind", "type_comment", "type_ignores")

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BINDERS = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping)
_LEAVES = (ast.Lambda, ast.Constant, ast.Load, ast.Store, str, type(None))

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Import(NamedTuple):
    """The origin of an imported name: a module, or a name in it."""

    module: str
    name: str | None


Imports = dict[str, list[Import]]


@dataclass(frozen=True)
class Module:
    """The top level of a module.

    Attributes:
        name: full name.
        is_package: whether it is a package's ``__init__``.
        definitions: by name, all statements that define it.
        imports: by name, its origins, including imports for type checkers.
        statements: statements that are neither definitions nor imports.
        runs: modules, of any package, that its imports run.
    """

    name: str
    is_package: bool
    definitions: dict[str, list[ast.AST]] = field(default_factory=dict)
    imports: Imports = field(default_factory=dict)
    statements: list[ast.AST] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Reading:
    """The parts of a unit that count.

    Attributes:
        digest: digest of the unit's code and of the origins of its names; "" without code.
        refers_to: the units that it refers to.
        changes_state: whether it changes an object at the top level of a module.
    """

    digest: str
    refers_to: frozenset[str]
    changes_state: bool = False


# --- modules --------------------------------------------------------------------------------


@cache
def module(name: str) -> Module | None:
    """Read a module of this package; None if there is no such module."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return None
    stem = ROOT.joinpath(*parts[1:])
    path = stem / "__init__.py"
    found = Module(name, is_package=stem.is_dir())
    if not found.is_package:
        path = stem.with_name(f"{stem.name}.py")
        if not path.is_file():
            return None
    if path.is_file():  # a folder without __init__.py is a package too
        _survey(found, ast.parse(path.read_text("utf-8")).body)
    return found


def files(root: Path) -> list[Path]:
    """The modules' files, behind linked folders too; not the hidden locks of editors."""
    # Python 3.11's Path.glob looks into no linked folder.
    return [root / name for name in glob("**/*.py", root_dir=root, recursive=True)]  # noqa: PTH207


@cache
def modules() -> tuple[str, ...]:
    """Name all modules of this package."""
    stems = (path.relative_to(ROOT).with_suffix("") for path in files(ROOT))
    parts = ((*stem.parts[:-1], *({stem.name} - {"__init__"})) for stem in stems)
    return tuple(sorted(".".join((PACKAGE, *part)) for part in parts))


def _survey(found: Module, body: Iterable[ast.stmt]) -> None:
    """Sort a module's top-level statements into definitions, imports and others."""
    for node in body:
        match node:
            case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for_types = Module(found.name, found.is_package, found.definitions, found.imports)
                _survey(for_types, node.body)
                _survey(found, node.orelse)
            case ast.Import() | ast.ImportFrom():
                _add_imports(found, node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.definitions.setdefault(node.name, []).append(node)
            case ast.Expr(value=ast.Constant()):
                pass
            case _:
                names = _assigned(node)
                if names is None:
                    found.statements.append(node)
                    bound = _bindings([node], found)
                    names = list(bound.names)
                    for inner in _inside(node, _IMPORTS):
                        _add_imports(found, inner)
                for name in names:
                    found.definitions.setdefault(name, []).append(node)


def _add_imports(found: Module, node: ast.AST) -> None:
    for name, origin in _imported(node, found):
        found.imports.setdefault(name, []).append(origin)
    found.runs.update(_run_by(node, found))


def _assigned(node: ast.stmt) -> list[str] | None:
    """The names that an assignment defines; None for anything else."""
    match node:
        case ast.Assign():
            waiting = list(node.targets)
        case ast.AnnAssign() | ast.AugAssign():
            waiting = [node.target]
        case _:
            return None
    names = []
    while waiting:
        match waiting.pop():
            case ast.Name(id=name):
                names.append(name)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                waiting.extend(parts)
            case ast.Starred(value=part):
                waiting.append(part)
            case _:  # such as an attribute: it changes an object
                return None
    return names


def _from(node: ast.ImportFrom, at: Module) -> str:
    """The module that names are imported from."""
    base = node.module or ""
    if node.level:
        parts = at.name.split(".")
        parents = parts[: len(parts) - node.level + at.is_package]
        base = ".".join([*parents, base] if base else parents)
    return base


def _imported(node: ast.AST, at: Module) -> Iterator[tuple[str, Import]]:
    """The names that an import binds, with their origins; ``*`` stands for a star import."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            root = alias.name.partition(".")[0]
            yield alias.asname or root, Import(alias.name if alias.asname else root, None)
    elif isinstance(node, ast.ImportFrom):
        base = _from(node, at)
        for alias in node.names:
            name = None if alias.name == "*" else alias.name
            yield alias.asname or alias.name, Import(base, name)


def _run_by(node: ast.AST, at: Module) -> Iterator[str]:
    """The modules that an import runs, each after the packages that contain it."""
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = _from(node, at)
        names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
    for parts in (name.split(".") for name in names):
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


@cache
def origins(at: str, chain: tuple[str, ...]) -> frozenset[str]:
    """Follow a dotted name in a module through imports to its definitions.

    Args:
        at: the module's name.
        chain: the name's parts; empty for the module itself.

    Returns:
        Units of this package, and dotted names of objects outside it.
    """
    found: set[str] = set()
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [(at, chain)]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        name, parts = place
        known = module(name)
        if known is None:
            found.add(".".join((name, *parts)))
        elif not parts:  # the module is passed around
            found.add(f"{name}:*")
        else:
            first, rest = parts[0], parts[1:]
            ways = [
                (one.module, rest if one.name is None else (one.name, *rest))
                for one in known.imports.get(first, ())
            ]
            if module(f"{name}.{first}") is not None:
                ways.append((f"{name}.{first}", rest))
            waiting.extend(ways)
            if first in known.definitions:
                found.add(f"{name}:{first}")
            elif not ways and first not in _MODULE_ATTRIBUTES:
                found.add(f"{name}:*")
    return frozenset(found)


# --- units ----------------------------------------------------------------------------------


def named(at: str, name: str) -> Sequence[str]:
    """The units for a name in a module, such as ``Class.method`` or ``TABLE[key]``.

    Raises:
        LookupError: the module does not define the name.
    """
    if "[" in name:
        return [f"{at}:{name}"]
    found = [one for one in origins(at, tuple(name.split("."))) if _is_unit(one)]
    if not found or f"{at}:*" in found:
        raise LookupError(f"{at} defines no {name}")
    return found


@cache
def reading(unit: str) -> Reading | None:
    """Read a unit; None if its module is not in this package.

    Raises:
        LookupError: the module does not define the name, or the table has no such entry.
    """
    at, _, name = unit.partition(":")
    found = module(at)
    if found is None:
        return None
    if not name:
        return _read_run(found)
    if name == "*":
        return Reading("", frozenset(_everything(found)))
    reader = _Reader(found, unit)
    for node in _nodes(found, unit):
        if unit in TABLES:
            if isinstance(node, ast.AnnAssign):
                reader.annotation(node.annotation)
        else:
            reader.read(node)
    reader.refers_to.add(at)
    return reader.reading()


def annotated(unit: str) -> frozenset[str]:
    """The units named in annotations of parameters of a function or of a class's methods."""
    at = unit.partition(":")[0]
    found = module(at)
    if found is None:
        return frozenset()
    reader = _Reader(found, unit)
    for node in _nodes(found, unit):
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            kinds = _by_kind(function.args) if isinstance(function, _Function) else ()
            for annotation in (one.annotation for kind in kinds for one in kind):
                if annotation:
                    reader.annotation(annotation)
    return reader.reading().refers_to


def counts(unit: str) -> bool:
    """Whether a unit can change a result."""
    return unit.partition(":")[0] not in UNCOUNTED and not WORDS.fullmatch(unit)


def _nodes(found: Module, unit: str) -> Sequence[ast.AST]:
    """The statements that define a unit, or the expression of a table's entry."""
    name, _, key = unit.partition(":")[2].partition("[")
    nodes = found.definitions.get(name)
    if nodes is None:
        raise LookupError(f"{found.name} defines no {name}")
    if not key:
        return nodes
    tables = (getattr(node, "value", None) for node in nodes)
    entries = [
        value
        for table in tables
        if isinstance(table, ast.Dict)
        for known, value in zip(table.keys, table.values, strict=True)
        if isinstance(known, ast.Constant) and known.value == key.removesuffix("]")
    ]
    if not entries:
        raise LookupError(f"{found.name}: {name} has no entry {key.removesuffix(']')!r}")
    return entries


def _everything(found: Module) -> Iterator[str]:
    yield found.name
    yield from (f"{found.name}:{name}" for name in found.definitions)
    for name, ways in found.imports.items():
        for one in ways:
            yield from origins(found.name, (name,)) if one.name else origins(one.module, ())
    yield from (f"{name}:*" for name in modules() if name.startswith(f"{found.name}."))


def _read_run(found: Module) -> Reading:
    """Read the code that importing a module runs, with the definitions that register themselves."""
    reader = _Reader(found, found.name)
    for node in found.statements:
        reader.read(node)
    reader.refers_to.update(filter(_is_unit, found.runs))
    reader.refers_to.update(f"{star.module}:*" for star in found.imports.get("*", ()))
    for name, nodes in found.definitions.items():
        if any(_registers(found, node) for node in nodes):
            reader.refers_to.add(f"{found.name}:{name}")
    return reader.reading()


def _registers(found: Module, node: ast.AST) -> bool:
    """Whether a definition is passed to code that may keep it, so that nothing need name it."""
    if isinstance(node, _DEFINITIONS):
        parts = [node, *(node.body if isinstance(node, ast.ClassDef) else ())]
        decorators = (one for part in parts for one in getattr(part, "decorator_list", ()))
        handed_to = [one.func if isinstance(one, ast.Call) else one for one in decorators]
    else:
        handed_to = [one.func for one in _inside(node, (ast.Call,))]
    for chain in map(_chain, handed_to):
        if not chain or not _is_global(found, chain[0]):
            continue
        units = origins(found.name, chain)
        is_method = bool(chain[1:]) and origins(found.name, chain[:-1]) == units
        for unit in (one for one in units if _defined(one) and counts(one)):
            known = reading(unit)
            if is_method or (known is not None and known.changes_state):
                return True
    return False


def _defined(unit: str) -> Sequence[ast.AST]:
    """The statements that define a unit; empty for names outside this package."""
    at, _, name = unit.partition(":")
    found = module(at)
    return found.definitions.get(name, ()) if found else ()


def _is_object(unit: str) -> bool:
    """Whether a unit is an object of this package that is neither function nor class."""
    nodes = _defined(unit)
    return bool(nodes) and not any(isinstance(one, _DEFINITIONS) for one in nodes)


def _is_global(found: Module, name: str) -> bool:
    return name in found.definitions or name in found.imports


def _inside(node: ast.AST, kinds: tuple[type[Any], ...]) -> Iterator[Any]:
    """Nodes of some kinds in a statement, without those in functions that it defines."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, kinds):
            yield one
        if not isinstance(one, _Function | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(one))


def _chain(node: ast.AST) -> tuple[str, ...]:
    """The parts of a dotted name; empty for any other node."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


# --- scopes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scope:
    """The names that a function, class or comprehension binds, with the origins of imports."""

    names: Imports
    of_module: frozenset[str] = frozenset()  # declared ``global``
    is_class: bool = False


def _bindings(body: Iterable[ast.AST], at: Module, is_class: bool = False) -> _Scope:
    """Find the names that statements bind, without names in nested functions and classes."""
    names: Imports = {}
    of_module: set[str] = set()
    elsewhere: set[str] = set()
    waiting: list[Any] = list(body)
    while waiting:  # ``match`` would take three times as long
        node = waiting.pop()
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is not ast.Load:
                names.setdefault(node.id, [])
        elif kind in _DEFINITIONS:
            names.setdefault(node.name, [])
        elif kind in _IMPORTS:
            for name, origin in _imported(node, at):
                names.setdefault(name, []).append(origin)
        elif kind is ast.Global:
            of_module.update(node.names)
        elif kind is ast.Nonlocal:
            elsewhere.update(node.names)
        elif kind in _COMPREHENSIONS:
            for inner in ast.walk(node):
                if isinstance(inner, ast.NamedExpr):
                    names.setdefault(inner.target.id, [])
        elif kind not in _LEAVES:
            for key in node._fields:
                value = getattr(node, key)
                if isinstance(value, list):
                    waiting.extend(value)
                elif isinstance(value, ast.AST):
                    waiting.append(value)
                elif isinstance(value, str) and kind in _BINDERS:
                    names.setdefault(value, [])
    kept = {name: ways for name, ways in names.items() if name not in elsewhere}
    return _Scope(kept, frozenset(of_module), is_class)


# --- code -----------------------------------------------------------------------------------


class _Reader:
    """Writes down the code that counts, and finds what its names refer to."""

    def __init__(self, at: Module, unit: str) -> None:
        self.refers_to: set[str] = set()
        self._at = at
        self._unit = unit
        self._scopes: list[_Scope] = []
        self._text: list[str] = []
        self._origins: dict[str, set[str]] = {}
        self._changes_state = False

    def reading(self) -> Reading:
        """The result of all that was read."""
        origins = sorted((name, sorted(found)) for name, found in self._origins.items())
        whole = f"{' '.join(self._text)} {origins}"
        return Reading(
            hashlib.sha256(whole.encode()).hexdigest() if self._text else "",
            frozenset(self.refers_to),
            self._changes_state,
        )

    def read(self, node: ast.AST) -> None:
        """Read a node of any kind."""
        special = _SPECIAL.get(type(node))
        if special is None:
            self._plain(node)
        else:
            special(self, node)

    def annotation(self, node: ast.expr) -> None:
        """Read an annotation that counts, including names in quotes."""
        self.read(node)
        waiting = [node]
        while waiting:
            match waiting.pop():
                case ast.Constant(value=str(text)):
                    self._quoted(text)
                case ast.Subscript(value=generic, slice=inner):
                    match _chain(generic)[-1:], inner:
                        case ("Literal",), _:
                            pass
                        case ("Annotated",), ast.Tuple(elts=[first, *_]):
                            waiting.append(first)
                        case _:
                            waiting.append(inner)
                case ast.BinOp(left=left, right=right):
                    waiting.extend((left, right))
                case ast.Tuple(elts=parts) | ast.List(elts=parts):
                    waiting.extend(parts)

    def _quoted(self, text: str) -> None:
        try:
            quoted = ast.parse(text, mode="eval").body
        except SyntaxError:
            return
        names = (node.id for node in ast.walk(quoted) if isinstance(node, ast.Name))
        if all(name in _BUILTINS or _is_global(self._at, name) for name in names):
            self.read(quoted)

    def _write(self, *parts: str) -> None:
        self._text.extend(parts)

    def _all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is None:  # ``**others`` in a dictionary has no key
                self._write("-")
            else:
                self.read(node)

    def _plain(self, node: ast.AST, *left_out: str) -> None:
        self._write("(", type(node).__name__)
        for key in node._fields:
            if key in _LAYOUT or key in left_out:
                continue
            value = getattr(node, key, None)
            if isinstance(value, ast.AST):
                self._write(key)
                self.read(value)
            elif isinstance(value, list):
                if value:
                    self._write(key)
                    for one in value:
                        if isinstance(one, str):
                            self._write(one)
                        else:
                            self._all([one])
            elif value is not None:
                self._write(key, repr(value))
        self._write(")")

    def _find(self, chain: tuple[str, ...]) -> frozenset[str]:
        """The origins of a dotted name: a builtin's is its name, and a local object has none."""
        if not chain:
            return frozenset()
        first, *rest = chain
        local = self._local(first)
        if local is not None:
            ways = (
                origins(one.module, (*([one.name] if one.name else []), *rest)) for one in local
            )
            return frozenset().union(*ways)
        if first in _BUILTINS and not _is_global(self._at, first):
            return frozenset({first})
        return origins(self._at.name, chain)

    def _refer(self, chain: tuple[str, ...]) -> None:
        """Note what a dotted name refers to."""
        found = self._find(chain)
        if found and found != {chain[0]}:
            self._origins.setdefault(".".join(chain), set()).update(found)
        for one in found:
            if _is_unit(one):
                self.refers_to.add(one)
            elif one in _REACHES_MODULE:
                self.refers_to.add(f"{self._at.name}:*")
            elif one in _IMPORTERS or f"{one}.".startswith("sys.modules."):
                self._load(())

    def _local(self, name: str) -> Sequence[Import] | None:
        """A local name's origins, empty if it is not imported; None if the name is not local."""
        in_class = None
        for depth, scope in enumerate(reversed(self._scopes)):
            if name in scope.of_module:
                return None
            if name in scope.names:
                if not scope.is_class:
                    return scope.names[name]
                if not depth:  # before a class binds a name, the module's is used
                    in_class = scope.names[name]
        if in_class is not None and (in_class or not _is_global(self._at, name)):
            return in_class
        return None

    def _within(self, scope: _Scope, nodes: Iterable[ast.AST | None]) -> None:
        self._scopes.append(scope)
        self._all(nodes)
        self._scopes.pop()

    # Each of the following methods reads one kind of node.

    def _name(self, node: ast.Name) -> None:
        self._write(node.id)
        defines = isinstance(node.ctx, ast.Store) and (
            not self._scopes or self._scopes[-1].is_class
        )
        if not defines:
            self._refer((node.id,))

    def _attribute(self, node: ast.Attribute) -> None:
        chain = _chain(node)
        if chain:
            self._write(".".join(chain))
            self._refer(chain)
        else:
            self._plain(node)
        self._note_change(node, node.ctx)

    def _subscript(self, node: ast.Subscript) -> None:
        self._plain(node)
        self._note_change(node, node.ctx)

    def _note_change(self, node: ast.AST, context: ast.expr_context) -> None:
        if isinstance(context, ast.Load):
            return
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        if isinstance(node, ast.Name) and self._local(node.id) != []:
            self._changes_state = True

    def _constant(self, node: ast.Constant) -> None:
        self._write(repr(node.value))

    def _function(self, node: _Function) -> None:
        self._write("(", type(node).__name__, node.name)
        self._all(node.decorator_list)
        decorators = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
        plain = all(_chain(one)[-1:] and _chain(one)[-1] in PLAIN_DECORATORS for one in decorators)
        self._arguments(node.args, annotations=not plain)
        if node.returns and not plain:
            self.annotation(node.returns)
        self._within(self._function_scope(node.args, node.body), node.body)
        self._write(")")

    def _lambda(self, node: ast.Lambda) -> None:
        self._write("(", "Lambda")
        self._arguments(node.args, annotations=False)
        self._within(self._function_scope(node.args, [node.body]), [node.body])
        self._write(")")

    def _arguments(self, arguments: ast.arguments, annotations: bool) -> None:
        for kind in _by_kind(arguments):
            self._write("|")
            for one in kind:
                self._write(one.arg)
                if annotations and one.annotation:
                    self.annotation(one.annotation)
        self._write("=")
        self._all([*arguments.defaults, *arguments.kw_defaults])

    def _function_scope(self, arguments: ast.arguments, body: Iterable[ast.AST]) -> _Scope:
        scope = _bindings(body, self._at)
        for kind in _by_kind(arguments):
            for one in kind:
                scope.names.setdefault(one.arg, [])
        return scope

    def _class(self, node: ast.ClassDef) -> None:
        self._write("(", "ClassDef", node.name)
        self._all(node.decorator_list)
        self._write("|")
        self._all([*node.bases, *node.keywords])
        self._write("|")
        self._within(_bindings(node.body, self._at, is_class=True), node.body)
        self._write(")")

    def _comprehension(self, node: _Comprehension) -> None:
        first, *others = node.generators
        self._write("(", type(node).__name__)
        self.read(first.iter)
        targets = [inner for one in node.generators for inner in ast.walk(one.target)]
        scope = _Scope({inner.id: [] for inner in targets if isinstance(inner, ast.Name)})
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._within(scope, [first.target, *first.ifs, *others, *made])
        self._write(str([(one.is_async, len(one.ifs)) for one in node.generators]), ")")

    def _annotated_assignment(self, node: ast.AnnAssign) -> None:
        if self._scopes and self._scopes[-1].is_class:
            self._plain(node, "annotation")
            self.annotation(node.annotation)  # pydantic and dataclasses read it
        elif node.value is not None:
            self._plain(ast.Assign([node.target], node.value))

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        self._plain(node)
        self.refers_to.update(filter(_is_unit, _run_by(node, self._at)))

    def _global(self, node: ast.Global) -> None:
        self._plain(node)
        self._changes_state = True

    def _expression(self, node: ast.Expr) -> None:
        """Leave out docstrings, and the words of messages that are only printed."""
        if isinstance(node.value, ast.Constant):
            return
        call = node.value
        if isinstance(call, ast.Call) and self._only_says(call.func):
            self._write("(", "Say")
            self.read(call.func)
            self._all(one for one in call.args if not _are_words(one))
            self._all(one for one in call.keywords if not _are_words(one.value))
            self._write(")")
        else:
            self._plain(node)

    def _only_says(self, function: ast.expr) -> bool:
        return self._find(_chain(function)) in ({"print"}, {"warnings.warn"})

    def _raise(self, node: ast.Raise) -> None:
        self._write("(", "Raise")
        if isinstance(node.exc, ast.Call) and not self._is_own_class(node.exc.func):
            self.read(node.exc.func)
        elif node.exc:
            self.read(node.exc)
        if node.cause:
            self._write("from")
            self.read(node.cause)
        self._write(")")

    def _is_own_class(self, function: ast.expr) -> bool:
        """Whether an exception is a class of this package, which may use its words."""
        return any(
            isinstance(node, ast.ClassDef)
            for unit in self._find(_chain(function))
            if counts(unit)
            for node in _defined(unit)
        )

    def _assert(self, node: ast.Assert) -> None:
        self._plain(node, "msg")

    def _call(self, node: ast.Call) -> None:
        chain = _chain(node.func)
        found = self._find(chain)
        if found and all(one.partition(":")[0] == ERRORS for one in found):
            self._write("(", "Error", ".".join(chain), ")")
            return
        self._write("(", "Call")
        if found & _IMPORTERS:
            self._write(".".join(chain))
            self._load(node.args)
        else:
            self.read(node.func)
        self._all(node.args)
        described = chain[-1:] == ("Field",)
        self._all(one for one in node.keywords if not (described and one.arg == "description"))
        self._write(")")
        if chain[1:] and self._find(chain[:-1]) == found and any(map(_is_object, found)):
            self._changes_state = True  # the method may change it

    def _load(self, arguments: Sequence[ast.expr]) -> None:
        """Note modules imported by a known name or known start of one; else the whole package."""
        if self._unit in LOADERS:
            return
        match arguments:
            case [ast.Constant(value=str(name))] if not name.startswith("."):
                self.refers_to.add(f"{name}:*")
            case [ast.JoinedStr(values=[ast.Constant(value=str(start)), *_])] if start[0] != ".":
                self.refers_to.update(f"{one}:*" for one in modules() if one.startswith(start))
            case _:
                self.refers_to.add(f"{PACKAGE}:*")


def _by_kind(arguments: ast.arguments) -> list[list[ast.arg]]:
    lone = [[one] if one else [] for one in (arguments.vararg, arguments.kwarg)]
    return [arguments.posonlyargs, arguments.args, lone[0], arguments.kwonlyargs, lone[1]]


def _is_unit(origin: str) -> bool:
    return origin.partition(":")[0].partition(".")[0] == PACKAGE


def _are_words(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant | ast.JoinedStr)


_SPECIAL: Mapping[type[ast.AST], Callable[[_Reader, Any], None]] = {
    ast.AnnAssign: _Reader._annotated_assignment,
    ast.Assert: _Reader._assert,
    ast.AsyncFunctionDef: _Reader._function,
    ast.Attribute: _Reader._attribute,
    ast.Call: _Reader._call,
    ast.ClassDef: _Reader._class,
    ast.Constant: _Reader._constant,
    ast.DictComp: _Reader._comprehension,
    ast.Expr: _Reader._expression,
    ast.FunctionDef: _Reader._function,
    ast.GeneratorExp: _Reader._comprehension,
    ast.Global: _Reader._global,
    ast.Import: _Reader._import,
    ast.ImportFrom: _Reader._import,
    ast.Lambda: _Reader._lambda,
    ast.ListComp: _Reader._comprehension,
    ast.Name: _Reader._name,
    ast.Raise: _Reader._raise,
    ast.SetComp: _Reader._comprehension,
    ast.Subscript: _Reader._subscript,
}
