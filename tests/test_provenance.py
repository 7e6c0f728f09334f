"""The code fingerprint follows imports and ignores what changes no result."""

from pathlib import Path

import pytest

from neuroglot import provenance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "pkg"
    (root / "deep").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "deep" / "__init__.py").write_text("")
    (root / "step.py").write_text(
        '"""Step."""\ndef run():\n    from pkg.deep.formula import f\n    return f(1)\n'
    )
    (root / "deep" / "formula.py").write_text("from . import constants\ndef f(x):\n    return x\n")
    (root / "deep" / "constants.py").write_text("A = 1\n")
    (root / "other.py").write_text("B = 1\n")
    monkeypatch.setattr(provenance, "ROOT", root)
    monkeypatch.setattr(provenance, "PACKAGE", "pkg")
    return root


def hashed() -> str:
    for cached in (provenance._tree, provenance._code, provenance._imports):
        cached.cache_clear()
    return provenance.fingerprint("pkg.step")


@pytest.fixture(autouse=True)
def fresh_caches():
    yield
    for cached in (provenance._tree, provenance._code, provenance._imports):
        cached.cache_clear()


def test_a_far_import_counts(package: Path) -> None:
    before = hashed()
    (package / "deep" / "constants.py").write_text("A = 2\n")
    assert hashed() != before


def test_a_package_init_counts(package: Path) -> None:
    before = hashed()
    (package / "deep" / "__init__.py").write_text("C = 2\n")
    assert hashed() != before


def test_comments_docstrings_and_layout_do_not_count(package: Path) -> None:
    before = hashed()
    (package / "deep" / "formula.py").write_text(
        '"""A docstring."""\n\nfrom . import constants\n\n\n# why\ndef f(x):\n    """Say."""\n'
        "    return (x)\n"
    )
    assert hashed() == before


def test_a_module_not_imported_does_not_count(package: Path) -> None:
    before = hashed()
    (package / "other.py").write_text("B = 2\n")
    assert hashed() == before


def test_unknown_module_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match="no module neuroglot.nowhere"):
        provenance.fingerprint("neuroglot.nowhere")


def test_digest_ignores_key_order_only() -> None:
    assert provenance.digest({"a": 1, "b": [1, 2]}) == provenance.digest({"b": [1, 2], "a": 1})
    assert provenance.digest([1, 2]) != provenance.digest([2, 1])
