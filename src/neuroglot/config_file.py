"""Reads a configuration file as YAML; refuses alias bombs, code and duplicate keys."""

from collections.abc import Hashable
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from neuroglot.errors import NeuroglotError

MOST_VALUES = 100_000  # far above any configuration, far below an alias bomb


class _StrictLoader(yaml.SafeLoader):
    """YAML loader that refuses duplicate keys and alias bombs."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()  # type: ignore[no-untyped-call]
        if node is not None:
            _count(node, {})
        return node  # type: ignore[no-any-return]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            expected = node.tag.rpartition(":")[2]  # SafeLoader does not catch such errors
            problem = f"{str(node.value)[:80]!r} is no {expected}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def _count(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Count the values of a node, each alias as all that it stands for, long texts as several."""
    if isinstance(node, yaml.ScalarNode):
        return 1 + len(node.value) // 100
    if node not in known:
        known[node] = MOST_VALUES  # if the node contains itself, this stops the recursion
        parts = (
            node.value if isinstance(node, yaml.SequenceNode) else chain.from_iterable(node.value)
        )
        known[node] = 1 + sum(_count(part, known) for part in parts)
    if known[node] >= MOST_VALUES:
        raise NeuroglotError(
            f"{node.start_mark.name}: line {node.start_mark.line + 1} holds itself, or more than "
            f"{MOST_VALUES} values when its aliases are written out; write them out"
        )
    return known[node]


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, Hashable):
            raise NeuroglotError(
                f"{node.start_mark.name}: line {line}: a key must be text, found "
                f"{type(key).__name__}"
            )
        if key in seen:
            raise NeuroglotError(
                f"{node.start_mark.name}: {key!r} stands in lines {seen[key]} and {line}; "
                "keep one of them"
            )
        seen[key] = line
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(file: Path) -> Any:
    """Read a configuration file.

    Raises:
        NeuroglotError: the file is missing, is not a YAML mapping, has a duplicate key, is nested
            too deeply, or asks Snakemake to run code in it.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            settings = yaml.load(stream, _StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NeuroglotError(f"{file}: cannot be read as YAML: {error}") from error
    except RecursionError:
        raise NeuroglotError(f"{file}: is nested too deep for a configuration") from None
    if not isinstance(settings, dict):
        raise NeuroglotError(f"{file}: must hold keys and values, found {type(settings).__name__}")
    if "__use_yte__" in settings:
        raise NeuroglotError(
            f"{file}: __use_yte__ lets Snakemake run the Python code in the file; write the values"
        )
    return settings
