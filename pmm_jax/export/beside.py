"""Files that a consumer reads beside an ONNX file."""

import json
from collections.abc import Mapping
from typing import Any

NETWORK_MODES = {"float32": 0, "float16": 1, "int8": 2}
"""DeepStream's number of each precision."""


def boxmot_metadata(name: str, card: Mapping[str, Any]) -> tuple[str, str]:
    """What BoxMOT writes beside its own exports (boxmot/reid/core/artifacts.py)."""
    size = card["model"]["image_size"]
    metadata = {
        "schema_version": 1,
        "format": "onnx",
        "input_name": card["input"]["name"],
        "output_names": [card["output"]["name"]],
        "input_shape": [1, 3, *size],
        "img_size": size,
        "precision": card["precision"],
        "dynamic_batch": True,
        "opset": card["opset"],
        "preprocess": "resize",
    }
    return f"{name}.metadata.json", json.dumps(metadata, indent=1) + "\n"


def deepstream_block(name: str, card: Mapping[str, Any]) -> tuple[str, str]:
    """The `ReID` block of DeepStream's NvDCF tracker config."""
    height, width = card["model"]["image_size"]
    block = f"""\
# Put this block in place of ReID in a config of NvDCF (config_tracker_NvDCF_accuracy.yml).
ReID:
  reidType: 2
  batchSize: 100
  workspaceSize: 1000
  reidFeatureSize: {card["output"]["shape"][1]}
  reidHistorySize: 100
  inferDims: [3, {height}, {width}]
  networkMode: {NETWORK_MODES[card["precision"]]}  # 0 float32, 1 float16, 2 int8
  inputOrder: 0  # NCHW
  colorFormat: 0  # RGB
  # {card["note"]}
  offsets: [0.0, 0.0, 0.0]
  netScaleFactor: 1.0
  keepAspc: 0  # the model was trained on images that fill the frame
  addFeatureNormalization: 1
  minVisibility4GalleryUpdate: 0.6
  onnxFile: {json.dumps(name)}  # with its folder, if DeepStream doesn't find it
"""
    return f"{name.removesuffix('.onnx')}.yml", block
