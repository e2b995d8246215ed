"""What schemathesis is told beside the document: tokens, and ids of what is there.

Half of the ids and bodies that it draws are replaced by such as exist, so that it comes past
"not found"; which half follows from what was drawn, so that the same seed asks the same.
"""

import json
import os
import zlib

import schemathesis

WORLD = json.loads(os.environ["NACRE_TEST_WORLD"])
LONGEST_WAIT_MS = 20
# The id of the key that asks, which a list shows: it must not be revoked on the way.
OWN_KEY = WORLD["key"].split("_")[1]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Changes a request before it is sent."""
    path = case.operation.path
    for name, value in (case.path_parameters or {}).items():
        kind = path.split("/{" + name + "}")[0].rsplit("/", 1)[1]
        known = WORLD["ids"].get(kind)
        draw = drawn(value)
        # A node's token opens its own paths only.
        if known and (draw % 2 or kind == "nodes" or value == OWN_KEY):
            case.path_parameters[name] = known[draw // 2 % len(known)]
    query = case.query
    wait = str((query or {}).get("wait_ms", ""))
    if wait.isdigit() and int(wait) > LONGEST_WAIT_MS:
        query["wait_ms"] = LONGEST_WAIT_MS
    fill = WORLD["bodies"].get(case.operation.label)
    if fill and isinstance(case.body, dict) and drawn(case.body) % 2:
        case.body.update(fill)
    token = WORLD["node_token"] if path.startswith("/v1/nodes/{id}") else WORLD["key"]
    case.headers = dict(case.headers or {})
    case.headers["Authorization"] = f"Bearer {token}"


def drawn(value):
    """A number that follows from a value."""
    return zlib.crc32(repr(value).encode("utf-8", "backslashreplace"))
