"""Generates the JSON schema and the reference page of the configuration from its models."""

import json
from collections.abc import Iterator
from typing import Any

from neuroglot.config import Configuration

INTRODUCTION = """\
# Configuration

Generated from the configuration's models by `make docs`; do not edit. `config.yaml` is the file
that `make` reads, `snakemake --configfile FILE` reads another, and
`neuroglot config check --config FILE` checks one.
An editor that knows JSON schemas can use `config.schema.json` beside this page.
"""


def json_schema() -> str:
    """The schema as JSON text."""
    return json.dumps(Configuration.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def markdown() -> str:
    """The reference page: one table per section, in the order of the configuration."""
    schema = Configuration.model_json_schema()
    definitions = schema["$defs"]
    sections = [("Top level", schema), *((name, definitions[name]) for name in _order(schema))]
    parts = [INTRODUCTION]
    for name, section in sections:
        parts.append(f"\n## {name}\n")
        if section.get("description") and name != "Top level":
            parts.append(f"\n{section['description']}\n")
        parts.append("\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n")
        parts.extend(_rows(section))
    return "".join(parts)


def _order(schema: dict[str, Any]) -> list[str]:
    """Names of definitions, in the order of their first reference."""
    names: list[str] = []

    def visit(node: Any) -> None:
        for name in _references(node):
            if name not in names and "properties" in schema["$defs"][name]:
                names.append(name)
                visit(schema["$defs"][name])

    visit(schema["properties"])
    return names


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _references(part)


def _rows(section: dict[str, Any]) -> Iterator[str]:
    required = section.get("required", [])
    for key, field in section["properties"].items():
        default = "required" if key in required else f"`{_default(field)}`"
        meaning = " ".join(field.get("description", "").split())
        yield f"| `{key}` | {_type(field)} | {default} | {meaning} |\n"


def _default(field: dict[str, Any]) -> str:
    if "default" not in field or isinstance(field["default"], dict):
        return "see section"
    return json.dumps(field["default"], ensure_ascii=False)


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return _link(field["$ref"])
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{choice}`" for choice in field["enum"])
    if "oneOf" in field:
        return ", ".join(_type(member) for member in field["oneOf"])
    if "anyOf" in field:
        return " or ".join(_type(member) for member in field["anyOf"] if member != {"type": "null"})
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"id: {_type(field['additionalProperties'])}"
    return str(field.get("type", "any"))


def _link(reference: str) -> str:
    name = reference.rpartition("/")[2]
    return f"[{name}](#{name.lower()})"
