"""One call to the power helper through the product's own client: `call.py VERB ARGUMENTS-AS-JSON`. Prints JSON."""

import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the copy of the package lies beside this file

from edgeagent.power.client import HelperError, SocketHelper


def main(verb: str, arguments: str) -> None:
    try:
        outcome = SocketHelper(Path("/run/edgeagent-power.sock"), timeout_s=50.0).call(verb, **json.loads(arguments))
    except HelperError as error:
        print(json.dumps({"result": "no answer", "code": error.error_code, "message": error.message}))
    else:
        print(json.dumps(dataclasses.asdict(outcome)))


main(*sys.argv[1:])
