"""Wrong changes to what is taken away: model files, graphs and their cards."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("model/safetensors_file.py", "model/test_safetensors_file.py")(
        (
            "if hashlib.sha256(blank).hexdigest().encode() != digest:",
            "if not digest:",
            "a damaged model file is loaded",
        ),
        (
            "return metadata.get(ENTRY, next(ours, None))",
            "return metadata.get(ENTRY)",
            "load_torch reads a model file unchecked whose entry has lost its name",
        ),
    ),
    *of("model_file.py", "test_model_file.py")(
        (
            'if header["preprocessing"] != _preprocessing(size):',
            "if False:",
            "a model of another normalization is fed this one's",
        ),
        (
            "digest = hashlib.sha256(json.dumps(_preprocessing(image_size)).encode())",
            "digest = hashlib.sha256()",
            "galleries of two image sizes pass for one model's",
        ),
    ),
    *of("export/onnx_precision.py", "export/test_onnx_file.py")(
        (
            "reduce_range=True",
            "reduce_range=False",
            "processors without VNNI cut sums of an int8 file's products off",
        ),
        (
            "activation_type=QuantType.QUInt8",
            "activation_type=QuantType.QInt8",
            "an int8 file has the form that is the slower one on x86",
        ),
    ),
    *of("export/model_file.py", "export/test_export_model.py")(
        (
            "if any(found[name] != metrics[name] for name in intervals):",
            "if False:",
            "a card shows the intervals of another checkpoint",
        ),
    ),
    *of("export/onnx_graph.py", "export/test_onnx_graph.py")(
        (
            'values.get("bias", 0.0) - stats["mean"]',
            '0.0 - stats["mean"]',
            "a reduction loses its own bias",
        ),
        (
            "if name in network.part_heads and x == feature_map:",
            "if name in network.part_heads:",
            "stage III sees the part block twice",
        ),
    ),
    *of("export/presets.py", "export/test_onnx_file.py")(
        (
            'channels[..., ::-1] if self.color == "BGR" else channels',
            "channels",
            "a file for OpenVINO takes blue for red",
        ),
        (
            'return 1 if self.range == "0..1" else 255',
            "return 255",
            "a tracker of ultralytics sees nearly black images",
        ),
        (
            "return (image_size[0],) * 2 if self.square else image_size",
            "return image_size",
            "a tracker that feeds squares can't run its file",
        ),
    ),
    *of("export/stablehlo_file.py", "export/test_stablehlo_file.py")(
        (
            'with override_platform("gpu"), _without_source_files():',
            "with _without_source_files():",
            "a program for GPUs has a CPU's forms",
        ),
        (
            'with override_platform("gpu"), _without_source_files():',
            'with override_platform("gpu"):',
            "a program's bytes depend on where the package lies",
        ),
        (
            "if name in heads or not isinstance(module, StageHead)",
            "if True",
            "the first stage's file has all stages",
        ),
    ),
    *of("export/file_card.py", "export/test_onnx_file.py")(
        (
            "if tolerance is not None and not worst < tolerance:",
            "if False:",
            "a file that embeds differently is written",
        ),
    ),
]
