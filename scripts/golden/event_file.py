#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads our event file with TensorBoard's own reader and writes what it found.

Run the test with POLYPHONY_WRITE_EVENT_FILE=tests/golden/event_file/events.out.tfevents.golden first, then this
(needs the PyPI package tensorboard; made with 2.x and its TensorFlow stub).
"""
import io
import json
import pathlib

from PIL import Image
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.util import tensor_util

folder = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/event_file"
events, version = [], None
# EventFileLoader checks both checksums and turns old-style summaries into tensors with a plugin name, as the web page does.
for event in event_file_loader.EventFileLoader(str(folder / "events.out.tfevents.golden")).Load():
    if event.HasField("file_version"):
        version = event.file_version
        continue
    (value,) = event.summary.value
    plugin = value.metadata.plugin_data.plugin_name
    row = {"tag": value.tag, "step": event.step, "wall_time": event.wall_time, "plugin": plugin}
    tensor = tensor_util.make_ndarray(value.tensor)
    if plugin == "scalars":
        row["scalar"] = float(tensor.item())
    elif plugin == "text":
        row["text"] = tensor.flatten()[0].decode()
    elif plugin == "images":
        width, height, png = tensor.flatten()[:3]
        row["size"] = list(Image.open(io.BytesIO(png)).size)
        assert row["size"] == [int(width), int(height)]
        Image.open(io.BytesIO(png)).load()
        row["png_bytes"] = len(png)
    elif plugin == histogram_metadata.PLUGIN_NAME:
        row["num"] = float(tensor[:, 2].sum())
        row["buckets"] = tensor[:, 2].tolist()
    events.append(row)
with open(folder / "tensorboard_read.json", "w") as out:
    json.dump({"file_version": version, "events": events}, out, indent=1)
    out.write("\n")
print(json.dumps(events, indent=1))
