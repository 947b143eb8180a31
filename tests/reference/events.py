"""Reads log folders with TensorBoard itself, for tests/export/ to compare with what was logged.

    events.py FOLDER    prints one JSON object: run → { scalars: tag → [[wall time, step, value]], texts: tag → [[step, text]] }

Needs tensorboard from PyPI. A value that is no number is printed as null.
"""

import json
import math
import os
import sys

from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.util import tensor_util


def main(folder):
    multiplexer = EventMultiplexer(size_guidance={"scalars": 0, "tensors": 0})
    multiplexer.AddRunsFromDirectory(folder).Reload()
    found = {}
    for run, tags in multiplexer.Runs().items():
        scalars = {
            tag: [
                [event.wall_time, event.step, event.value if math.isfinite(event.value) else None]
                for event in multiplexer.Scalars(run, tag)
            ]
            for tag in tags["scalars"]
        }
        texts = {
            tag: [
                [event.step, tensor_util.make_ndarray(event.tensor_proto)[0].decode()]
                for event in multiplexer.Tensors(run, tag)
            ]
            for tag in tags["tensors"]
            if multiplexer.SummaryMetadata(run, tag).plugin_data.plugin_name == "text"
        }
        found[run] = {"scalars": scalars, "texts": texts}
    print(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    # TensorBoard says on standard output what it loads.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    main(sys.argv[1])
