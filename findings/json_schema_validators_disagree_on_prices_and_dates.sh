#!/usr/bin/env bash
# jsonschema 4.26.0 and fastjsonschema 2.22.3: one schema, a price and a date.
#
# Behaviour: under {"multipleOf": 0.01} jsonschema rejects some prices of two decimals (the division is of binary
# floats) and accepts others; fastjsonschema accepts all of these. Under {"format": "date"} jsonschema, given no
# format checker, accepts a month 13; fastjsonschema rejects it. So which answers of a model are valid, and which rewards
# they earn, depends on the validator.
#
# Output seen (value, jsonschema, fastjsonschema):
#   19.99         False  True
#   0.07          False  True
#   4.35          False  True
#   0.5           True   True
#   '2024-13-45'  True   False
#   '2024-12-31'  True   True
#
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jsonschema==4.26.0 fastjsonschema==2.22.3
"$work/venv/bin/python" - <<'PYTHON'
import fastjsonschema
import jsonschema

PRICE = {"type": "number", "multipleOf": 0.01}
DATE = {"type": "string", "format": "date"}


def accepts(schema: dict, value: object) -> tuple[bool, bool]:
    try:
        fastjsonschema.validate(schema, value)
    except fastjsonschema.JsonSchemaValueException:
        return jsonschema.Draft7Validator(schema).is_valid(value), False
    return jsonschema.Draft7Validator(schema).is_valid(value), True


found = {}
for schema, values in ((PRICE, (19.99, 0.07, 4.35, 0.5)), (DATE, ("2024-13-45", "2024-12-31"))):
    for value in values:
        found[value] = accepts(schema, value)
        print(f"{value!r:<13} {found[value][0]!s:<6} {found[value][1]}")
assert found == {
    19.99: (False, True),
    0.07: (False, True),
    4.35: (False, True),
    0.5: (True, True),
    "2024-13-45": (True, False),
    "2024-12-31": (True, True),
}
PYTHON
