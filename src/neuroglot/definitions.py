"""Finds what the package's modules define and refer to, without importing them.

Code *counts* if it can change a result; ``provenance`` follows the references from one unit to the
next and explains what counts. A *unit* is a piece of code that counts as a whole or not at all:

- ``module:name``: a definition at the top level of a module;
- ``module:name[key]``: one entry of a table, which is a dictionary;
- ``module``: the code besides definitions that runs when the module is imported;
- ``module:*``: everything that can be reached through the module.
"""

import ast
import builtins
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = __package__
ROOT = Path(__file__).parent

# The module that makes errors. The arguments of calls of its functions are only words of messages,
# like those of ``raise``, and do not count.
ERRORS = f"{PACKAGE}.errors"

# Modules that change no result. ``definitions`` and ``provenance`` are among them: if they change
# how fingerprints are made, the fingerprints themselves change.
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

# Tables of which a job reads only one entry. The job names this entry as a target of its
# fingerprint (see ``provenance``), so where code refers to the whole table, only the table's
# annotated type counts. ``CorpusSettings`` and ``TaskSettings`` are unions: their entries are
# classes.
TABLES = frozenset(
    {
        f"{PACKAGE}.corpora:CorpusSettings",
        f"{PACKAGE}.models.architectures:ARCHITECTURES",
        f"{PACKAGE}.tasks:TaskSettings",
    }
)

# Functions that import a module whose name their caller gives them. The caller also names that
# module as a target, so that what these functions import need not be found.
LOADERS = frozenset(
    {
        f"{PACKAGE}.analyses.named:looked_at",
        f"{PACKAGE}.analyses.named:named_neurons",
        f"{PACKAGE}.analyses.run:drawing",
        f"{PACKAGE}.analyses.run:run_step",
    }
)

# Decorators that do not read annotations. If a function has no decorators but these, its
# annotations do not count.
PLAIN_DECORATORS = frozenset(
    {
        *("abstractmethod", "classmethod", "override", "property", "staticmethod"),
        *("cache", "cached_property", "contextmanager", "lru_cache"),
        *("inference_mode", "no_grad"),
    }
)

_BUILTINS = frozenset(dir(builtins)) | {"__class__", "__file__", "__module__", "__qualname__"}
_MODULE_ATTRIBUTES = frozenset(name for name in _BUILTINS if name.startswith("__"))
_REACHES_MODULE = frozenset({"eval", "exec", "globals"})
_IMPORTERS = frozenset({"__import__", "importlib.import_module", "importlib.__import__"})
_LAYOUT = ("ctx", "kind", "type_comment", "type_ignores")

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BINDERS = (ast.arg, ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping)
_LEAVES = (ast.Lambda, ast.Constant, ast.Load, ast.Store, str, type(None))

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Import(NamedTuple):
    """The origin of an imported name: a module, or a name in it."""

    module: str
    name: str | None

    def then(self, attributes: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """Where to look up attributes of the imported object: a module, and the name's parts in it.

        After ``from a import b``, ``b.c`` is ``("a", ("b", "c"))``.
        """
        return self.module, (*([self.name] if self.name else []), *attributes)


Imports = dict[str, list[Import]]


@dataclass(frozen=True)
class Module:
    """The top level of a module.

    Attributes:
        name: full name.
        is_package: whether it is a package's ``__init__``.
        definitions: by name, all statements that define it.
        imports: by the name that an import binds, its origins, including imports for type
            checkers.
        statements: statements that are neither definitions nor imports.
        runs: modules, of any package, that its imports run; see ``_run_by``.
    """

    name: str
    is_package: bool
    definitions: dict[str, list[ast.AST]] = field(default_factory=dict)
    imports: Imports = field(default_factory=dict)
    statements: list[ast.AST] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Reading:
    """What reading a unit found: what counts of its code, and what it refers to.

    Attributes:
        digest: digest of the unit's code and of the origins of its names; "" without code.
        refers_to: the units that it refers to.
        changes_state: whether, when it runs, it may change an object of some module's top level.
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
    is_package = stem.is_dir()
    path = stem / "__init__.py" if is_package else stem.with_name(f"{stem.name}.py")
    here = Module(name, is_package)
    if path.is_file():
        _survey(here, ast.parse(path.read_text("utf-8")).body)
    elif not is_package:  # a folder without __init__.py is a package too
        return None
    return here


def files(root: Path) -> list[Path]:
    """List the modules' files, also in linked folders, but not the hidden locks of editors."""
    # Python 3.11's Path.glob looks into no linked folder.
    return [root / name for name in glob("**/*.py", root_dir=root, recursive=True)]  # noqa: PTH207


@cache
def modules() -> tuple[str, ...]:
    """Name all modules of this package."""
    return tuple(sorted(map(name_of, files(ROOT))))


def name_of(file: Path) -> str:
    """The name of the module that is in a file of this package."""
    stem = file.relative_to(ROOT).with_suffix("")
    return ".".join((PACKAGE, *stem.parts[:-1], *({stem.name} - {"__init__"})))


def _survey(here: Module, body: Iterable[ast.stmt]) -> None:
    """Sort a module's top-level statements into definitions, imports and others."""
    for node in body:
        match node:
            case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                not_run = Module(here.name, here.is_package, here.definitions, here.imports)
                _survey(not_run, node.body)
                _survey(here, node.orelse)
            case ast.Import() | ast.ImportFrom():
                _add_imports(here, node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                here.definitions.setdefault(node.name, []).append(node)
            case ast.Expr(value=ast.Constant()):
                pass
            case _:
                names = _assigned(node)
                if names is None:
                    here.statements.append(node)
                    names = list(_bindings([node], here).names)
                    for inner in _inside(node, _IMPORTS):
                        _add_imports(here, inner)
                for name in names:
                    here.definitions.setdefault(name, []).append(node)


def _add_imports(here: Module, node: ast.Import | ast.ImportFrom) -> None:
    for name, origin in _imported(node, here):
        here.imports.setdefault(name, []).append(origin)
    here.runs.update(_run_by(node, here))


def _assigned(node: ast.stmt) -> list[str] | None:
    """The names that an assignment defines; None if it changes an object, or is no assignment."""
    match node:
        case ast.Assign(targets=targets):
            pass
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            targets = [target]
        case _:
            return None
    parts = [part for target in targets for part in ast.walk(target)]
    if any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts):
        return None  # it changes an object
    return [part.id for part in parts if isinstance(part, ast.Name)]


def _from(node: ast.ImportFrom, here: Module) -> str:
    """The module that names are imported from."""
    if not node.level:
        return node.module or ""
    parts = here.name.split(".")
    parents = parts[: len(parts) - node.level + here.is_package]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _imported(node: ast.Import | ast.ImportFrom, here: Module) -> Iterator[tuple[str, Import]]:
    """The names that an import binds, with their origins; ``*`` stands for a star import."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            name = None if alias.name == "*" else alias.name
            yield alias.asname or alias.name, Import(_from(node, here), name)
        else:
            root = alias.name.partition(".")[0]
            yield alias.asname or root, Import(alias.name if alias.asname else root, None)


def _run_by(node: ast.Import | ast.ImportFrom, here: Module) -> Iterator[str]:
    """The modules that an import may run, each after the packages that contain it.

    A name that is imported from a module is listed like a module, since it may be one.
    """
    inside = f"{_from(node, here)}." if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        parts = f"{inside}{alias.name}".split(".")
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
    ends: set[str] = set()
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [(at, chain)]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        name, parts = place
        here = module(name)
        if here is None:
            ends.add(".".join((name, *parts)))
        elif not parts:  # the name stands for the module itself, of which any part may be used
            ends.add(f"{name}:*")
        else:
            first, *rest = parts
            ways = [origin.then(rest) for origin in here.imports.get(first, ())]
            if module(f"{name}.{first}") is not None:
                ways.append((f"{name}.{first}", tuple(rest)))
            waiting.extend(ways)
            if first in here.definitions:
                ends.add(f"{name}:{first}")
            elif not ways and first not in _MODULE_ATTRIBUTES:
                ends.add(f"{name}:*")
    return frozenset(ends)


# --- units ----------------------------------------------------------------------------------


def named(at: str, name: str) -> Sequence[str]:
    """The units for a name in a module, such as ``Class.method`` or ``TABLE[key]``.

    Raises:
        LookupError: the module does not define the name.
    """
    if "[" in name:
        return [f"{at}:{name}"]
    units = list(filter(_is_unit, origins(at, tuple(name.split(".")))))
    if not units or f"{at}:*" in units:
        raise LookupError(f"{at} defines no {name}")
    return units


@cache
def reading(unit: str) -> Reading | None:
    """Read a unit; None if its module is not in this package.

    Raises:
        LookupError: the module does not define the name, or the table has no such entry.
    """
    at, _, name = unit.partition(":")
    here = module(at)
    if here is None:
        return None
    if not name:
        return _read_run(here)
    if name == "*":
        return Reading("", frozenset(_everything(here)))
    reader = _Reader(here, unit)
    reader.refers_to.add(at)
    nodes = _nodes(here, unit)
    if unit in TABLES:
        types = [node.annotation for node in nodes if isinstance(node, ast.AnnAssign)]
        return reader.reading(list(map(reader.annotation, types)))
    return reader.reading(reader.visit(nodes))


def annotated(unit: str) -> frozenset[str]:
    """The units named in annotations of parameters of a function or of a class's methods."""
    here = module(unit.partition(":")[0])
    if here is None:
        return frozenset()
    reader = _Reader(here, unit)
    for node in _nodes(here, unit):
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            parameters = _parameters(function.args) if isinstance(function, _Function) else []
            for parameter in itertools.chain(*parameters):
                if parameter.annotation:
                    reader.annotation(parameter.annotation)
    return frozenset(reader.refers_to)


def counts(unit: str) -> bool:
    """Whether a unit can change a result."""
    return unit.partition(":")[0] not in UNCOUNTED and not WORDS.fullmatch(unit)


def _nodes(here: Module, unit: str) -> list[ast.AST]:
    """The statements that define a unit, or the expression of a table's entry."""
    name, _, key = unit.partition(":")[2].partition("[")
    nodes = here.definitions.get(name)
    if nodes is None:
        raise LookupError(f"{here.name} defines no {name}")
    if not key:
        return nodes
    tables = (getattr(node, "value", None) for node in nodes)
    entries: list[ast.AST] = [
        value
        for table in tables
        if isinstance(table, ast.Dict)
        for known, value in zip(table.keys, table.values, strict=True)
        if isinstance(known, ast.Constant) and known.value == key.removesuffix("]")
    ]
    if not entries:
        raise LookupError(f"{here.name}: {name} has no entry {key.removesuffix(']')!r}")
    return entries


def _everything(here: Module) -> Iterator[str]:
    yield here.name
    yield from (f"{here.name}:{name}" for name in here.definitions)
    for name in here.imports:
        yield from origins(here.name, (name,))
    yield from (f"{name}:*" for name in modules() if name.startswith(f"{here.name}."))


def _read_run(here: Module) -> Reading:
    """Read the code that importing a module runs, with definitions that this code may register."""
    reader = _Reader(here, here.name)
    reader.refers_to.update(filter(_is_unit, here.runs))
    reader.refers_to.update(f"{star.module}:*" for star in here.imports.get("*", ()))
    for name, nodes in here.definitions.items():
        if any(_registers(here, node) for node in nodes):
            reader.refers_to.add(f"{here.name}:{name}")
    return reader.reading(reader.visit(here.statements))


def _registers(here: Module, node: ast.AST) -> bool:
    """Whether a definition is passed to code that may keep it, and so may be used unnamed."""
    if isinstance(node, _DEFINITIONS):
        parts = [node, *(node.body if isinstance(node, ast.ClassDef) else ())]
        lists = [getattr(part, "decorator_list", []) for part in parts]
        receivers = list(map(_without_call, itertools.chain(*lists)))
    else:
        receivers = [call.func for call in _inside(node, (ast.Call,))]
    for chain in map(_chain, receivers):
        if not chain or not _is_global(here, chain[0]):
            continue
        units = origins(here.name, chain)
        is_method = bool(chain[1:]) and origins(here.name, chain[:-1]) == units
        for unit in units:
            if _defined(unit) and counts(unit):
                receiver = reading(unit)
                if is_method or (receiver is not None and receiver.changes_state):
                    return True
    return False


def _defined(unit: str) -> Sequence[ast.AST]:
    """The statements that define a unit; empty for names outside this package."""
    at, _, name = unit.partition(":")
    here = module(at)
    return here.definitions.get(name, ()) if here else ()


def _is_object(unit: str) -> bool:
    """Whether a unit is an object of this package that is neither function nor class."""
    nodes = _defined(unit)
    return bool(nodes) and not any(isinstance(node, _DEFINITIONS) for node in nodes)


def _is_global(here: Module, name: str) -> bool:
    return name in here.definitions or name in here.imports


def _inside(node: ast.AST, types: tuple[type[Any], ...]) -> Iterator[Any]:
    """Find nodes of some types in a statement, but not inside functions that it defines."""
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, types):
            yield inner
        if not isinstance(inner, _Function | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(inner))


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
    """The names that a function, class or comprehension binds.

    Attributes:
        names: by name, the origins if it is imported, else nothing.
        of_module: names that it declares ``global``.
        is_class: whether it is a class.
    """

    names: Imports
    of_module: frozenset[str] = frozenset()
    is_class: bool = False


def _bindings(body: Iterable[ast.AST], here: Module, is_class: bool = False) -> _Scope:
    """Find the names that statements bind, without names in nested functions and classes."""
    names: Imports = {}
    of_module: set[str] = set()
    elsewhere: set[str] = set()
    waiting: list[Any] = list(body)
    while waiting:  # ``match`` would take three times as long
        node = waiting.pop()
        node_type = type(node)
        if node_type is ast.Name:
            if type(node.ctx) is not ast.Load:
                names.setdefault(node.id, [])
        elif node_type in _DEFINITIONS:
            names.setdefault(node.name, [])
        elif node_type in _IMPORTS:
            for name, origin in _imported(node, here):
                names.setdefault(name, []).append(origin)
        elif node_type is ast.Global:
            of_module.update(node.names)
        elif node_type is ast.Nonlocal:
            elsewhere.update(node.names)
        elif node_type in _COMPREHENSIONS:
            for inner in ast.walk(node):
                if isinstance(inner, ast.NamedExpr):
                    names.setdefault(inner.target.id, [])
        elif node_type not in _LEAVES:
            for key in node._fields:
                part = getattr(node, key)
                if isinstance(part, list):
                    waiting.extend(part)
                elif isinstance(part, ast.AST):
                    waiting.append(part)
                elif isinstance(part, str) and node_type in _BINDERS:
                    names.setdefault(part, [])
    kept = {name: ways for name, ways in names.items() if name not in elsewhere}
    return _Scope(kept, frozenset(of_module), is_class)


# --- code -----------------------------------------------------------------------------------


class _Reader(ast.NodeVisitor):
    """Reduces code to nested lists of what counts, and finds what its names refer to."""

    def __init__(self, here: Module, unit: str) -> None:
        self.refers_to: set[str] = set()
        self._here = here
        self._unit = unit
        self._scopes: list[_Scope] = []
        self._origins: dict[str, set[str]] = {}
        self._changes_state = False

    def reading(self, code: list[Any]) -> Reading:
        """Give what was found; ``code`` is all that was read, as ``visit`` returned it."""
        origins = sorted((name, sorted(places)) for name, places in self._origins.items())
        return Reading(
            hashlib.sha256(repr([code, origins]).encode()).hexdigest() if code else "",
            frozenset(self.refers_to),
            self._changes_state,
        )

    def visit(self, node: Any) -> Any:
        """Read a node, a list of nodes, or a field that is no node; None if nothing counts."""
        if isinstance(node, list):
            return [code for part in node if (code := self.visit(part)) is not None]
        if node is None:  # ``**others`` in a dictionary has no key
            return "-"
        return super().visit(node) if isinstance(node, ast.AST) else node

    def generic_visit(self, node: ast.AST, *left_out: str) -> Any:
        """Read all fields of a node that are not left out."""
        return [
            type(node).__name__,
            *(
                (key, self.visit(part))
                for key, part in ast.iter_fields(node)
                if key not in _LAYOUT and key not in left_out and part is not None and part != []
            ),
        ]

    def annotation(self, node: ast.expr) -> Any:
        """Read an annotation that counts, including names in quotes."""
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
        return self.visit(node)

    def _quoted(self, text: str) -> None:
        try:
            quoted = ast.parse(text, mode="eval").body
        except SyntaxError:
            return
        names = (node.id for node in ast.walk(quoted) if isinstance(node, ast.Name))
        if all(name in _BUILTINS or _is_global(self._here, name) for name in names):
            self.visit(quoted)

    def _find(self, chain: tuple[str, ...]) -> frozenset[str]:
        """The origins of a dotted name: a builtin's is its name, and a local object has none."""
        if not chain:
            return frozenset()
        first, *rest = chain
        local = self._local(first)
        if local is not None:
            return frozenset().union(*(origins(*origin.then(rest)) for origin in local))
        if first in _BUILTINS and not _is_global(self._here, first):
            return frozenset({first})
        return origins(self._here.name, chain)

    def _refer(self, chain: tuple[str, ...]) -> None:
        """Note what a dotted name refers to."""
        places = self._find(chain)
        if places and places != {chain[0]}:
            self._origins.setdefault(".".join(chain), set()).update(places)
        for place in places:
            if _is_unit(place):
                self.refers_to.add(place)
            elif place in _REACHES_MODULE:
                self.refers_to.add(f"{self._here.name}:*")
            elif place in _IMPORTERS or f"{place}.".startswith("sys.modules."):
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
                if not depth:  # code of a class's body may use the module's name before it binds it
                    in_class = scope.names[name]
        if in_class is not None and (in_class or not _is_global(self._here, name)):
            return in_class
        return None

    def _within(self, scope: _Scope, nodes: list[Any]) -> Any:
        self._scopes.append(scope)
        code = self.visit(nodes)
        self._scopes.pop()
        return code

    # Each of the following methods reads one type of node.

    def visit_Name(self, node: ast.Name) -> Any:
        defines = isinstance(node.ctx, ast.Store) and (
            not self._scopes or self._scopes[-1].is_class
        )
        if not defines:
            self._refer((node.id,))
        return node.id

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        self._note_change(node)
        chain = _chain(node)
        if not chain:
            return self.generic_visit(node)
        self._refer(chain)
        return ".".join(chain)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        self._note_change(node)
        return self.generic_visit(node)

    def _note_change(self, node: ast.Attribute | ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load):
            return
        root: ast.AST = node
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if isinstance(root, ast.Name) and self._local(root.id) != []:
            self._changes_state = True

    def visit_FunctionDef(self, node: _Function) -> Any:
        names = [_chain(_without_call(decorator))[-1:] for decorator in node.decorator_list]
        plain = all(name and name[0] in PLAIN_DECORATORS for name in names)
        return [
            type(node).__name__,
            node.name,
            self.visit(node.decorator_list),
            *self._function(node.args, node.body, annotations=not plain),
            self.annotation(node.returns) if node.returns and not plain else None,
        ]

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast names the methods

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        return ["Lambda", *self._function(node.args, [node.body], annotations=False)]

    def _function(self, arguments: ast.arguments, body: list[Any], annotations: bool) -> list[Any]:
        parameters = _parameters(arguments)
        names = [
            [
                (each.arg, annotations and each.annotation and self.annotation(each.annotation))
                for each in passed_alike
            ]
            for passed_alike in parameters
        ]
        defaults = self.visit([arguments.defaults, arguments.kw_defaults])
        scope = _bindings([*itertools.chain(*parameters), *body], self._here)
        return [names, defaults, self._within(scope, body)]

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        scope = _bindings(node.body, self._here, is_class=True)
        outside = self.visit([node.decorator_list, node.bases, node.keywords])
        return ["ClassDef", node.name, outside, self._within(scope, node.body)]

    def visit_ListComp(self, node: _Comprehension) -> Any:
        first, *others = node.generators
        source = self.visit(first.iter)  # Python evaluates only this outside its scope
        scope = _bindings([generator.target for generator in node.generators], self._here)
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        inner = self._within(scope, [first.target, first.is_async, first.ifs, others, made])
        return [type(node).__name__, source, inner]

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if self._scopes and self._scopes[-1].is_class:  # pydantic and dataclasses read it
            return [self.generic_visit(node, "annotation"), self.annotation(node.annotation)]
        if node.value is None:
            return None
        return self.visit(ast.Assign([node.target], node.value))

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> Any:
        self.refers_to.update(filter(_is_unit, _run_by(node, self._here)))
        return self.generic_visit(node)

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_Global(self, node: ast.Global) -> Any:
        self._changes_state = True
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> Any:
        """Leave out docstrings, and the words of messages that are only printed."""
        call = node.value
        if isinstance(call, ast.Constant):
            return None
        if isinstance(call, ast.Call):
            function = self._find(_chain(call.func))
            if function in ({"print"}, {"warnings.warn"}):
                arguments = [node for node in call.args if not _are_words(node)]
                keywords = [node for node in call.keywords if not _are_words(node.value)]
                return ["Say", self.visit([call.func, arguments, keywords])]
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        error = node.exc
        if isinstance(error, ast.Call) and not self._is_of_this_package(error.func):
            error = error.func
        return ["Raise", self.visit(error), self.visit(node.cause)]

    def _is_of_this_package(self, function: ast.expr) -> bool:
        """Whether an exception is a class of this package, which may do more than show words."""
        return any(
            isinstance(node, ast.ClassDef)
            for unit in self._find(_chain(function))
            if counts(unit)
            for node in _defined(unit)
        )

    def visit_Assert(self, node: ast.Assert) -> Any:
        return self.generic_visit(node, "msg")

    def visit_Call(self, node: ast.Call) -> Any:
        chain = _chain(node.func)
        places = self._find(chain)
        if places and all(place.partition(":")[0] == ERRORS for place in places):
            return ["Error", ".".join(chain)]
        if places & _IMPORTERS:
            function = ".".join(chain)
            self._load(node.args)
        else:
            function = self.visit(node.func)
        left_out = "description" if chain[-1:] == ("Field",) else ""
        if chain[1:] and self._find(chain[:-1]) == places and any(map(_is_object, places)):
            self._changes_state = True  # a method of a module's object may change the object
        keywords = [keyword for keyword in node.keywords if keyword.arg != left_out]
        return ["Call", function, self.visit(node.args), self.visit(keywords)]

    def _load(self, arguments: Sequence[ast.expr]) -> None:
        """Note the modules that a call imports, as far as its argument tells their names.

        If it tells only how the name starts, these are all modules that start so; if it tells
        nothing, the whole package.
        """
        if self._unit in LOADERS:
            return
        match arguments:
            case [ast.Constant(value=str(name))] if not name.startswith("."):
                self.refers_to.add(f"{name}:*")
            case [ast.JoinedStr(values=[ast.Constant(value=str(start)), *_])] if start[0] != ".":
                self.refers_to.update(f"{name}:*" for name in modules() if name.startswith(start))
            case _:
                self.refers_to.add(f"{PACKAGE}:*")


def _parameters(arguments: ast.arguments) -> list[list[ast.arg]]:
    """The parameters of a function, by the way in which they are passed."""
    variadic = [[node] if node else [] for node in (arguments.vararg, arguments.kwarg)]
    return [arguments.posonlyargs, arguments.args, arguments.kwonlyargs, *variadic]


def _without_call(decorator: ast.expr) -> ast.expr:
    """A decorator without its arguments, if it has any."""
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _is_unit(origin: str) -> bool:
    return origin.partition(":")[0].partition(".")[0] == PACKAGE


def _are_words(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant | ast.JoinedStr)
