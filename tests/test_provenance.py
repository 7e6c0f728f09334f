"""The code fingerprint counts what a step can reach, definition by definition, and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neuroglot import definitions, layout, provenance

SOURCE = Path(definitions.__file__).parent


class Package:
    """A package of a few small modules, which is read in place of the real one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, **modules: str) -> None:
        """Write modules by name; ``__`` stands for a dot, ``init`` for ``__init__``."""
        for name, text in modules.items():
            parts = ["__init__" if part == "init" else part for part in name.split("__")]
            path = self.root.joinpath(*parts).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    def edit(self, old: str, new: str) -> None:
        """Replace text in the one module that holds it."""
        [path] = [path for path in self.root.rglob("*.py") if old in path.read_text("utf-8")]
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")

    def fingerprint(self, *targets: str) -> str:
        forget()
        return provenance.fingerprint(*(f"neuroglot.{target}" for target in targets))

    def reached(self, *targets: str) -> set[str]:
        forget()
        found = provenance.reached(*(f"neuroglot.{target}" for target in targets))
        return {one.removeprefix("neuroglot.") for one in found}


def forget() -> None:
    """A process reads each file once."""
    for cached in (
        definitions.module,
        definitions.modules,
        definitions.origins,
        definitions.reading,
        provenance._remembered,
        provenance._state_before,
    ):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(definitions, "ROOT", tmp_path)
    yield Package(tmp_path)
    forget()


USES = {
    "a function": "from neuroglot.far import f\ndef run():\n    return f()",
    "another name": "from neuroglot.far import f as g\ndef run():\n    return g()",
    "its module": "import neuroglot.far\ndef run():\n    return neuroglot.far.f()",
    "its module by another name": "import neuroglot.far as m\ndef run():\n    return m.f()",
    "its module from the package": "from neuroglot import far\ndef run():\n    return far.f()",
    "a relative import": "from .far import f\ndef run():\n    return f()",
    "a relative module": "from . import far\ndef run():\n    return far.f()",
    "an import in a function": "def run():\n    from neuroglot.far import f\n    return f()",
    "a module imported in a function": (
        "def run():\n    from neuroglot import far as m\n    return [m.f() for _ in '1']"
    ),
    "an import in an outer function": (
        "def run():\n    from neuroglot.far import f\n    def inner():\n        return f()\n"
        "    return inner"
    ),
    "a re-export": "from neuroglot.sub import f\ndef run():\n    return f()",
    "a re-export by another name": "from neuroglot.sub import h\ndef run():\n    return h()",
    "a re-exported module": "from neuroglot import sub\ndef run():\n    return sub.far.f()",
    "a default": "from neuroglot.far import f\ndef run(x=f):\n    return x",
    "a keyword's default": "from neuroglot.far import f\ndef run(*, x=f):\n    return x",
    "a decorator": "from neuroglot.far import f\n@f\ndef run():\n    return 1",
    "a base": "from neuroglot.far import f\nclass run(f):\n    pass",
    "a class's keyword": "from neuroglot.far import f\nclass run(metaclass=f):\n    pass",
    "a method": "from neuroglot.far import f\nclass run:\n    def one(self):\n        f()",
    "a class variable": "from neuroglot.far import f\nclass run:\n    one = f",
    "a field's annotation": "from neuroglot.far import f\nclass run:\n    one: f",
    "a quoted annotation": "from neuroglot.far import f\nclass run:\n    one: 'list[f] | None'",
    "a field named alike": "from neuroglot.far import f\nclass run:\n    f: int = f()",
    "a method named alike": (
        "from neuroglot.far import f\nclass run:\n    def f(self):\n        return f()"
    ),
    "a constant": "from neuroglot.far import f\nrun = f()",
    "an annotated constant": "from neuroglot.far import f\nrun: int = f()",
    "an augmented constant": "from neuroglot.far import f\nrun = 1\nrun += f()",
    "a constant among several": "from neuroglot.far import f\n(other, [*run]) = f()",
    "a lambda": "from neuroglot.far import f\nrun = lambda x: f()",
    "a comprehension's first source": "from neuroglot.far import f\nrun = [f for f in f()]",
    "a comprehension's condition": "from neuroglot.far import f\nrun = {x for x in '1' if f()}",
    "a comprehension's second source": (
        "from neuroglot.far import f\nrun = {x: y for x in '1' for y in f()}"
    ),
    "beside a comprehension that binds it": (
        "from neuroglot.far import f\ndef run():\n    return [f for f in '1'], f()"
    ),
    "an f-string": "from neuroglot.far import f\ndef run():\n    return f'{f()}'",
    "a pattern": (
        "from neuroglot import far\ndef run(x):\n    match x:\n        case far.f():\n"
        "            return 1"
    ),
    "a global": "from neuroglot.far import f\ndef run():\n    global f\n    f += 1",
    "a global under a local name": (
        "from neuroglot.far import f\ndef run():\n    f = 1\n    def inner():\n        global f\n"
        "        return f\n    return inner"
    ),
    "an import of an outer function, bound again": (
        "def run():\n    from neuroglot.far import f\n    def inner():\n        nonlocal f\n"
        "        f += 1\n    return inner"
    ),
    "a relative import in a package": "from neuroglot.sub import k\ndef run():\n    return k()",
    "from a definition between": (
        "from neuroglot.far import f\ndef between():\n    return f()\ndef run():\n"
        "    return between"
    ),
    "an attribute of it": "from neuroglot.far import f\ndef run():\n    return f.one.two",
    "a condition": (
        "try:\n    from neuroglot.far import f\nexcept ImportError:\n    f = None\n"
        "def run():\n    return f"
    ),
    "for type checkers, but in a cast": (
        "from typing import TYPE_CHECKING, cast\nif TYPE_CHECKING:\n"
        "    from neuroglot.far import f\ndef run(x):\n    return cast(f, x)"
    ),
    "the rest of what is for type checkers": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n"
        "    from neuroglot.far import f\ndef run():\n    return f()"
    ),
    "what a step is given": "from neuroglot.far import f\ndef run(x: f):\n    return x.one()",
    "what a step's class is given": (
        "from neuroglot.far import f\nclass run:\n    def one(self, x: 'f'):\n        x.one()"
    ),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_what_is_used_counts_and_its_neighbours_do_not(package: Package, use: str) -> None:
    package.write(
        init="",
        step=use + "\n",
        far="A = 1\nB = 2\ndef f():\n    return A\ndef g():\n    return B\n",
        sub__init="from neuroglot import far\nfrom neuroglot.far import f, f as h, g\n"
        "from .deep import k\n",
        sub__deep="from ..far import f as k\n",
    )
    before = package.fingerprint("step:run")
    assert {"far:f", "far:A"} <= package.reached("step:run")
    package.edit("B = 2", "B = 3")
    package.edit("def g()", "def g(x=1)")
    assert package.fingerprint("step:run") == before
    package.edit("A = 1", "A = 0")
    assert package.fingerprint("step:run") != before


LOCAL = {
    "a parameter": "def run(far):\n    return far.f()",
    "any parameter": "def run(*far):\n    return far",
    "a variable": "def run():\n    far = 1\n    return far",
    "a variable of an outer function": (
        "def run():\n    far = 1\n    def inner():\n        return far\n    return inner"
    ),
    "not local": (
        "def run():\n    far = 1\n    def inner():\n        nonlocal far\n        far += 1\n"
        "    return inner"
    ),
    "a comprehension's": "run = [far for far in '1']",
    "a lambda's": "run = lambda far: far",
    "an exception": (
        "def run():\n    try:\n        pass\n    except ValueError as far:\n        return far"
    ),
    "a pattern's": "def run(x):\n    match x:\n        case [far]:\n            return far",
    "a walrus": "def run(x):\n    return [y for y in x if (far := y)], far",
    "a loop's": "def run(x):\n    for far in x:\n        return far",
    "a file": "def run(x):\n    with x as far:\n        return far",
    "a function in a function": "def run():\n    def far():\n        return 1\n    return far",
    "a class variable": "class run:\n    far = 1",
}


@pytest.mark.parametrize("use", LOCAL.values(), ids=LOCAL)
def test_local_names_hide_imports(package: Package, use: str) -> None:
    package.write(step=f"from neuroglot import far\n{use}\n", far="def f():\n    return 1\n")
    assert package.reached("step:run") == {"step:run"}


SAME = {
    "a comment": ("return f(1)", "return f(1)  # why"),
    "a docstring": ("    y = x", '    """Say."""\n    y = x'),
    "layout": ("f(1)", "(\n        f(\n            1\n        )\n    )"),
    "a parameter's annotation": ("def run(x=1)", "def run(x: int=1)"),
    "what is returned": ("def run(x=1)", "def run(x=1) -> int"),
    "a local annotation": ("    y = x", "    y: int = x"),
    "a declaration": ("    y = x", "    z: int\n    y = x"),
    "a constant's annotation": ("A = 1", "A: int = 1"),
    "an error's words": ("'no x'", "f'no x but {f(y)}'"),
    "an error's words, worded elsewhere": ("'no z'", "'no z but ' + word()"),
    "words of an error that is returned": ("'no c'", "word('c')"),
    "an assertion's words": ("'is one'", "'is not one'"),
    "what is printed": ("print('one',", "print(f'two {f(x)}',"),
    "a warning": ("warn('w')", "warn(f'w {x}')"),
    "a field's description": ("'what it is'", "'what it may be'"),
    "the module that words errors": ("def word(", "def words_(): pass\ndef word("),
    "the bar": ("0.1", "10"),
    "what nothing reaches": ("UNUSED = 1", "UNUSED = 2"),
    "an import of nothing used": ("import math", "import math\nimport json"),
    "an attribute's docstring": ("A = 1\n", 'A = 1\n"""One."""\n'),
}
WORDS = """
import math
from typing import TYPE_CHECKING
from warnings import warn
from pydantic import Field
from neuroglot.errors import NeuroglotError, word
from neuroglot.progress import progress
UNUSED = 1
A = 1
def f(x):
    return A
def worded(x):
    return NeuroglotError('no c')
class Settings:
    one: int = Field(1, description='what it is')
def run(x=1):
    y = x
    progress(y)
    if x > 2:
        raise ValueError('no x')
    if x > 3:
        raise worded(x) from None
    if x > 4:
        raise NeuroglotError('no z')
    assert x == 1, 'is one'
    print('one', file=y)
    warn('w')
    Settings()
    return f(1)
"""


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_what_changes_no_number_does_not_count(package: Package, old: str, new: str) -> None:
    package.write(
        step=WORDS,
        errors="class NeuroglotError(Exception):\n    pass\ndef word(x):\n    return x\n",
        progress="INTERVAL = 0.1\ndef progress(x):\n    return INTERVAL\n",
    )
    before = package.fingerprint("step:run")
    package.edit(old, new)
    assert package.fingerprint("step:run") == before


OTHER = {
    "a number": ("f(1)", "f(2)"),
    "its kind": ("f(1)", "f(True)"),
    "a default": ("def run(x=1)", "def run(x=0)"),
    "an exception's class": ("raise ValueError", "raise KeyError"),
    "the condition of an error": ("x > 2", "x > 1"),
    "an assertion": ("assert x == 1", "assert x == 2"),
    "where it is printed": ("file=y", "file=x"),
    "a field's default": ("Field(1,", "Field(2,"),
    "a field's annotation": ("one: int", "one: float"),
    "an argument": ("progress(y)", "progress(x)"),
    "an order": ("    y = x\n    progress(y)", "    progress(y)\n    y = x"),
    "where a name comes from": ("from warnings import", "from logging import"),
}


@pytest.mark.parametrize(("old", "new"), OTHER.values(), ids=OTHER)
def test_what_may_change_a_number_counts(package: Package, old: str, new: str) -> None:
    package.write(
        step=WORDS,
        errors="class NeuroglotError(Exception):\n    pass\ndef word(x):\n    return x\n",
        progress="INTERVAL = 0.1\ndef progress(x):\n    return INTERVAL\n",
    )
    before = package.fingerprint("step:run")
    package.edit(old, new)
    assert package.fingerprint("step:run") != before


def test_where_a_name_comes_from_counts_though_all_of_it_is_reached(package: Package) -> None:
    text = (
        "from neuroglot.a import f\nfrom neuroglot.b import f as g\ndef run():\n    return f, g\n"
    )
    package.write(step=text, a="def f():\n    return 1\n", b="def f():\n    return 2\n")
    before = package.fingerprint("step:run")
    package.write(step=text.replace(".a ", ".c ").replace(".b ", ".a ").replace(".c ", ".b "))
    assert package.reached("step:run") == {"step:run", "a:f", "b:f"}
    assert package.fingerprint("step:run") != before


@pytest.mark.parametrize(
    ("old", "new"), [("import numpy as np", "import scipy as np"), ("mean as", "median as")]
)
def test_where_other_packages_names_come_from_counts(package: Package, old: str, new: str) -> None:
    package.write(
        step="import numpy as np\nfrom statistics import mean as m\n"
        "def run():\n    return np.one, m\n"
    )
    before = package.fingerprint("step:run")
    package.edit(old, new)
    assert package.fingerprint("step:run") != before


def test_arguments_of_an_exception_of_this_package_count(package: Package) -> None:
    package.write(
        step="class Stop(Exception):\n    pass\ndef f():\n    return 1\n"
        "def run():\n    raise Stop(f())\n"
    )
    assert package.reached("step:run") == {"step:run", "step:f", "step:Stop"}


def test_a_class_is_reached_where_it_is_constructed_not_where_it_annotates(
    package: Package,
) -> None:
    package.write(
        step="from typing import TYPE_CHECKING\nfrom neuroglot.far import A, make\n"
        "if TYPE_CHECKING:\n    from neuroglot.far import B\n"
        "def one(x: A, y: 'B') -> A:\n    return x\ndef run():\n    return one(make(), 1)\n",
        far="class A:\n    def m(self): pass\nclass B:\n    pass\nclass C(A):\n    pass\n"
        "def make():\n    return C()\n",
    )
    assert package.reached("step:run") == {"step:run", "step:one", "far:make", "far:C", "far:A"}
    package.edit("return C()", "return 1")
    assert package.reached("step:run") == {"step:run", "step:one", "far:make"}


def test_annotations_count_where_a_decorator_may_read_them(package: Package) -> None:
    package.write(
        step="from functools import cache\nfrom other import command\n"
        "@cache\ndef plain(x: int): pass\n@command()\ndef read(x: int): pass\n"
    )
    plain, read = package.fingerprint("step:plain"), package.fingerprint("step:read")
    package.edit("x: int", "x: float")
    assert package.fingerprint("step:plain") == plain
    assert package.fingerprint("step:read") != read


STATEMENTS = {
    "a loop": "for name in [1]:\n    f(name)",
    "a call": "f()",
    "a condition": "if f():\n    pass",
    "an entry": "D = {}\nD['x'] = f()",
    "an attribute": "import other\nother.setting = f",
    "a deletion": "del f",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_what_an_imported_module_runs_counts(package: Package, statement: str) -> None:
    package.write(
        step="import neuroglot.sub.side\nC = 1\ndef run():\n    return 1\n",
        sub__init="from neuroglot.sub.unused import UNUSED\n",
        sub__unused="UNUSED = 1\n",
        sub__side=f"from neuroglot.far import f\n{statement}\n",
        far="def f():\n    return 1\n",
    )
    others = {one for one in package.reached("step:run") if not one.startswith("sub.side:")}
    assert others == {"step:run", "sub.side", "far:f"}
    before = package.fingerprint("step:run")
    package.edit("UNUSED = 1", "UNUSED = 2")
    assert package.fingerprint("step:run") == before
    package.write(far="def f():\n    return 2\n")
    assert package.fingerprint("step:run") != before


def test_a_packages_init_counts_only_for_what_it_runs(package: Package) -> None:
    package.write(
        step="from neuroglot.sub.deep import f\ndef run():\n    return f()\n",
        sub__init="from neuroglot.sub.other import B\nA = 1\n",
        sub__deep="def f():\n    return 1\n",
        sub__other="B = 1\n",
    )
    assert package.reached("step:run") == {"step:run", "sub.deep:f"}
    before = package.fingerprint("step:run")
    package.write(sub__init="from neuroglot.sub.other import B\nA = 2\n")
    assert package.fingerprint("step:run") == before
    package.write(sub__init="from neuroglot.sub.other import B\nA = 2\nprint(B)\n")
    assert package.reached("step:run") == {"step:run", "sub.deep:f", "sub", "sub.other:B"}
    assert package.fingerprint("step:run") != before


def test_what_a_module_runs_counts_though_only_a_type_is_named(package: Package) -> None:
    package.write(
        step="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from neuroglot.side import A\nclass run:\n    one: 'A'\n",
        side="class A:\n    pass\nprint(A)\n",
    )
    assert package.reached("step:run") == {"step:run", "side", "side:A"}


def test_what_only_a_function_imports_is_run_where_that_is_reached(package: Package) -> None:
    package.write(
        step="def run():\n    import neuroglot.side\ndef other():\n    pass\n", side="print([])\n"
    )
    assert package.reached("step:run") == {"step:run", "side"}
    assert package.reached("step:other") == {"step:other"}


REGISTERED = {
    "by a decorator": "@register\ndef made():\n    return f()",
    "by a decorator that calls an object's method": "@keep\ndef made():\n    return f()",
    "by a decorator that imports what it changes": "@imported\ndef made():\n    return f()",
    "by a method's decorator": "class made:\n    @register\n    def m(self):\n        f()",
    "by a decorator that is called": "@far.register\nclass made:\n    x = f()",
    "by an object's decorator": "@TABLE.add('name')\ndef made():\n    return f()",
    "by a generic function's": "@generic.register\ndef made(x: int):\n    return f()",
    "by a call": "made = register(f)",
    "by an object's method": "made = TABLE.setdefault('x', f)",
}


@pytest.mark.parametrize("definition", REGISTERED.values(), ids=REGISTERED)
def test_what_registers_itself_counts_unnamed(package: Package, definition: str) -> None:
    package.write(
        step="import neuroglot.side\ndef run():\n    return 1\n",
        side="from neuroglot import far\nfrom neuroglot.far import TABLE, generic, imported, keep, "
        "register\n"
        f"def f():\n    return 1\n{definition}\n",
        far="from functools import singledispatch\nTABLE = Table()\n"
        "def register(x):\n    TABLE[x] = x\n    return x\n"
        "def imported(x):\n    from neuroglot.far import TABLE\n    TABLE[x] = x\n    return x\n"
        "def keep(x):\n    TABLE.append(x)\n    return x\n"
        "@singledispatch\ndef generic(x): pass\n",
    )
    assert {"side:made", "side:f"} <= package.reached("step:run")


def test_plain_decorators_register_nothing(package: Package) -> None:
    package.write(
        step="import neuroglot.side\ndef run():\n    return 1\n",
        side="from functools import cache\nfrom neuroglot.far import styled\n"
        "@cache\n@styled\ndef made():\n    return 1\nmade_too = styled(made)\n",
        far="from functools import wraps\nSTYLE = {}\n"
        "def styled(f):\n    @wraps(f)\n    def inner(*x):\n        return f(*x, STYLE)\n"
        "    return inner\n",
    )
    assert package.reached("step:run") == {"step:run"}


UNKNOWN = {
    "a module passed around": "from neuroglot import far\ndef run():\n    return vars(far)",
    "getattr": "import neuroglot.far as m\ndef run(x):\n    return getattr(m, x)",
    "a star import": "from neuroglot.far import *\ndef run():\n    return f()",
    "a star import that may hide a definition": (
        "def f():\n    return 1\nfrom neuroglot.far import *\ndef run():\n    return f()"
    ),
    "an unknown name": "from neuroglot import far\ndef run():\n    return far.made",
    "an unknown name like a builtin's": (
        "from neuroglot import far\ndef run():\n    return far.open"
    ),
    "an unknown import": "from neuroglot.far import made\ndef run():\n    return made()",
    "import_module": (
        "import importlib\ndef run():\n    return importlib.import_module('neuroglot.far').f()"
    ),
    "import_module by another name": (
        "from importlib import import_module as load\ndef run():\n    return load('neuroglot.far')"
    ),
    "a name that begins so": (
        "import importlib\ndef run(x):\n    return importlib.import_module(f'neuroglot.f{x}')"
    ),
    "any name": "import importlib\ndef run(x):\n    return importlib.import_module(x)",
    "a relative name": "import importlib\ndef run():\n    importlib.import_module('.far', 'x')",
    "an importer passed on": "import importlib\ndef run(x):\n    map(importlib.import_module, x)",
    "__import__": "def run(x):\n    return __import__(x)",
    "sys.modules": "import sys\ndef run(x):\n    return sys.modules[x]",
}


@pytest.mark.parametrize("use", UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_resolved_makes_its_module_count(package: Package, use: str) -> None:
    package.write(
        init="",
        step=use + "\n",
        far="from neuroglot.farther import h\ndef f():\n    return 1\ndef g():\n    return 1\n",
        farther="def h():\n    return 1\n",
    )
    assert {"far:f", "far:g", "farther:h"} <= package.reached("step:run")


@pytest.mark.parametrize("use", ["globals()['f']", "eval('f')", "made"])
def test_a_module_whose_own_names_are_unknown_counts(package: Package, use: str) -> None:
    package.write(step=f"def f():\n    return 1\ndef run():\n    return {use}\n")
    assert package.reached("step:run") == {"step:run", "step:f"}


def test_a_package_passed_around_counts_with_all_its_modules(package: Package) -> None:
    package.write(
        step="from neuroglot import sub\ndef run(x):\n    return getattr(sub, x)\n",
        sub__init="",
        sub__deep__init="",
        sub__deep__far="def f():\n    return 1\n",
    )
    assert package.reached("step:run") == {"step:run", "sub.deep.far:f"}


def test_modules_that_only_begin_alike_count_when_loaded_by_name(package: Package) -> None:
    package.write(
        step="from importlib import import_module\n"
        "def run(x):\n    return import_module(f'neuroglot.sub.{x}')\n",
        sub__one="A = 1\n",
        other="B = 1\n",
    )
    assert package.reached("step:run") == {"step:run", "sub.one:A"}


def test_what_loaders_load_is_named_by_their_callers(package: Package, monkeypatch) -> None:
    monkeypatch.setattr(definitions, "LOADERS", {"neuroglot.step:run"})
    package.write(
        step="from importlib import import_module\ndef run(x):\n    return import_module(x)\n",
        far="def f():\n    return 1\n",
    )
    assert package.reached("step:run", "far:f") == {"step:run", "far:f"}
    assert package.reached("step:run") == {"step:run"}


TABLE = """
from dataclasses import dataclass
@dataclass
class Inner: pass
@dataclass
class Entry:
    inner: Inner
def helper(): return 1
_A = Entry(helper())
TABLE: dict[str, Entry] = {"a": _A, "b": Entry(2)}
"""


def test_of_a_table_its_type_counts_and_the_entry_that_is_named(
    package: Package, monkeypatch
) -> None:
    monkeypatch.setattr(definitions, "TABLES", {"neuroglot.far:TABLE"})
    package.write(
        step="from neuroglot.far import TABLE\ndef run(x):\n    return TABLE[x]\n", far=TABLE
    )
    targets = {"a": ("step:run", "far:TABLE[a]"), "b": ("step:run", "far:TABLE[b]")}
    table = {"step:run", "far:TABLE", "far:Entry", "far:Inner"}
    assert package.reached("step:run") == table
    assert package.reached(*targets["a"]) == table | {"far:TABLE[a]", "far:_A", "far:helper"}
    before = {key: package.fingerprint(*both) for key, both in targets.items()}
    package.edit('"b": Entry(2)', '"b": Entry(3), "c": Entry(4)')
    assert package.fingerprint(*targets["a"]) == before["a"]
    assert package.fingerprint(*targets["b"]) != before["b"]
    package.edit("return 1\n_A", "return 2\n_A")
    assert package.fingerprint(*targets["a"]) != before["a"]


def test_a_module_stands_for_all_its_definitions(package: Package) -> None:
    package.write(
        step="from neuroglot.far import f, g\nA = f\ndef run(): pass\nfor x in '1':\n    pass\n",
        far="def f(): pass\ndef g(): pass\n",
    )
    assert package.reached("step") == {"step", "step:A", "step:run", "step:x", "far:f"}


def test_a_target_may_be_a_method_or_a_re_export(package: Package) -> None:
    package.write(
        step="class A:\n    def m(self): pass\nB = 1\n", sub__init="from neuroglot.step import A\n"
    )
    assert package.reached("step:A.m") == package.reached("sub:A") == {"step:A"}


def test_definitions_of_one_name_count_together(package: Package) -> None:
    package.write(step="A = 1\ndef run():\n    return A\nA += 1\n")
    before = package.fingerprint("step:run")
    package.edit("A += 1", "A += 2")
    assert package.fingerprint("step:run") != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("@A\nclass run(B): pass", "class run(A, B): pass"),
        ("def run(x, *, y=1): pass", "def run(x=1, *, y): pass"),
        ("def run(x, /, y): pass", "def run(x, y): pass"),
        ("def run(*x): pass", "def run(**x): pass"),
        ("run = {**A, 1: 2}", "run = {1: 2, **A}"),
        ("run = {**A, 1: B}", "run = {1: A, **B}"),
        ("run = [x for x in A if x if B]", "run = [x for x in A if x and B]"),
        ("run = f(A, *B)", "run = f(*A, B)"),
        ("run = '1'", "run = 1"),
        ("run = 1", "run = 1.0"),
        ("run = A.B", "run = 'A.B'"),
    ],
)
def test_different_code_differs(package: Package, one: str, other: str) -> None:
    package.write(step=f"A = B = f = 1\n{one}\n")
    before = package.fingerprint("step:run")
    package.write(step=f"A = B = f = 1\n{other}\n")
    assert package.fingerprint("step:run") != before


def test_imports_in_a_circle_end(package: Package) -> None:
    package.write(
        step="from neuroglot.a import f\ndef run():\n    return f\n",
        a="from neuroglot.b import f\n",
        b="from neuroglot.a import f\n",
    )
    assert package.reached("step:run") == {"step:run"}


def test_unknown_targets_are_refused(package: Package) -> None:
    package.write(step="import json\nA = {}\n")
    with pytest.raises(ModuleNotFoundError, match="no module neuroglot.nowhere"):
        package.fingerprint("nowhere")
    for name in ("B", "json", "B.c"):
        with pytest.raises(LookupError, match=f"neuroglot.step defines no {name}"):
            package.fingerprint(f"step:{name}")
    with pytest.raises(LookupError, match="neuroglot.step: A has no entry 'b'"):
        package.fingerprint("step:A[b]")


def test_a_copied_package_reads_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "neuroglot").mkdir()
    for name in ("__init__", "definitions", "provenance", "layout", "packages", "files", "errors"):
        shutil.copy(SOURCE / f"{name}.py", tmp_path / "neuroglot")

    def fingerprint(text: str, seed: str) -> str:
        (tmp_path / "neuroglot" / "step.py").write_text(text)
        code = "from neuroglot.provenance import fingerprint; print(fingerprint('neuroglot.step'))"
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONHASHSEED": seed}
        found = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        return found.strip()

    text = "import os\ndef f(): return {os.path, g, 1, 'a'}\ndef g(): return os.sep\n"
    assert fingerprint(text, "1") == fingerprint(text, "2") != fingerprint(text + "A = 1\n", "1")


def test_every_name_of_this_package_is_resolved() -> None:
    forget()
    units = [
        f"{name}:{definition}"
        for name in definitions.modules()
        for definition in definitions.module(name).definitions
    ]
    whole = {
        (unit, one)
        for unit in units
        for one in definitions.reading(unit).refers_to
        if one.endswith(":*")
    }
    assert len(units) > 1000
    notebooks = ("neuroglot:__getattr__", "neuroglot.activations:*")  # which no step reaches
    assert whole == {notebooks}, "these count whole modules; name what is used, or see LOADERS"


def test_what_is_listed_exists() -> None:
    forget()
    listed = {*definitions.UNCOUNTED, *definitions.TABLES, *definitions.LOADERS, definitions.ERRORS}
    for name, _, definition in (one.partition(":") for one in listed):
        found = definitions.module(name)
        assert found is not None, name
        assert not definition or definition in found.definitions, f"{name}:{definition}"


def test_what_steps_say_of_their_variables_does_not_count() -> None:
    forget()
    steps = [name for name in definitions.modules() if ".steps." in name]
    assert any("VARIABLES" in definitions.module(name).definitions for name in steps)
    counted = provenance.reached(*steps)
    assert {one for one in counted if one.endswith(":VARIABLES")} == {
        "neuroglot.measures.bootstrap:VARIABLES"  # a number
    }
    assert "neuroglot.measures.answers:ANSWERS" not in counted


def test_this_package_uses_nothing_that_cannot_be_followed() -> None:
    hidden = ("__subclasses__", "__init_subclass__", "entry_points", "iter_modules", "runpy")
    used = {
        (path.name, word)
        for path in SOURCE.rglob("*.py")
        for word in hidden
        if word in path.read_text("utf-8") and path.name != "provenance.py"
    }
    assert used == set(), "provenance.py names these as its limits"


def test_digest_ignores_key_order_only() -> None:
    assert provenance.digest({"a": 1, "b": [1, 2]}) == provenance.digest({"b": [1, 2], "a": 1})
    assert provenance.digest([1, 2]) != provenance.digest([2, 1])


TWO = {"one": "def f():\n    return 1", "two": "def g():\n    return 2"}


@pytest.fixture
def remembered(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A package whose fingerprint of ``f`` is kept for other processes, and known to be kept."""
    place = tmp_path.parent / f"{tmp_path.name} place"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(provenance, "TICK", -1)
    monkeypatch.setattr(provenance, "_taken", {})
    package.write(**TWO)
    package.fingerprint("one:f")
    provenance.remember()
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "_closure", None)
        package.fingerprint("one:f")  # reads no module
    return package


def test_what_a_module_takes_of_itself_in_a_job_is_remembered(
    remembered: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered.write(three="def h():\n    return fingerprint(__name__)")
    expected = remembered.fingerprint("three")
    monkeypatch.setattr(provenance, "_taken", {})
    provenance.remember()
    monkeypatch.setattr(provenance, "_closure", None)
    assert remembered.fingerprint("three") == expected


def test_a_module_that_is_written_while_others_are_read_is_not_remembered(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(provenance, "TICK", -1)
    package.write(**TWO)
    package.fingerprint("one:f")
    package.edit("return 2", "return 3")
    provenance.remember()
    assert not layout.CODE.exists()


def test_a_linked_folder_counts_and_an_editor_s_lock_does_not(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(provenance, "TICK", -1)
    elsewhere = tmp_path.parent / f"{tmp_path.name} elsewhere"
    elsewhere.mkdir()
    (elsewhere / "one.py").write_text("def f():\n    return 1")
    (tmp_path / "linked").symlink_to(elsewhere)
    (tmp_path / ".#one.py").symlink_to("me@host.123")
    before = package.fingerprint("linked.one:f")
    provenance.remember()
    assert layout.CODE.exists()
    (elsewhere / "one.py").write_text("def f():\n    return 2")
    assert package.fingerprint("linked.one:f") != before


@pytest.mark.parametrize("change", ["another", "edited", "added", "renamed", "damaged", "none"])
def test_what_is_remembered_counts_until_a_module_is_written(
    remembered: Package, change: str
) -> None:
    before, target = remembered.fingerprint("one:f"), "one:f"
    one = remembered.root / "one.py"
    times = one.stat()
    if change == "another":
        target = "two:g"
    elif change == "edited":  # as long as it was, and its time set back
        remembered.edit("return 1", "return 3")
        os.utime(one, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "added":
        remembered.write(three="def h():\n    return 1")
    elif change == "renamed":
        one.rename(one.with_name("four.py"))
        target = "four:f"
    else:
        layout.CODE.write_text("[]" if change == "damaged" else "")
    after = remembered.fingerprint(target)
    layout.CODE.unlink()
    assert after == remembered.fingerprint(target)
    assert (after == before) == (change in ("added", "damaged", "none"))


def test_modules_that_were_just_written_are_not_remembered(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package.write(**TWO)
    package.fingerprint("one:f")
    provenance.remember()
    assert not layout.CODE.exists()
