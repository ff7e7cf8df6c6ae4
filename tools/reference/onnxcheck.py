"""Checks ONNX models with the reference checker, shapes inferred in full.

    python3 tools/reference/onnxcheck.py MODEL.onnx…

Prints one JSON object per model: the opset, the operators used, and the shapes
of inputs and outputs as the reference implementation reads them.
"""
import json
import sys

import onnx
import onnx.checker
import onnx.numpy_helper
import onnx.shape_inference


def shape(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


for path in sys.argv[1:]:
    onnx.checker.check_model(path, full_check=True)  # by path: external data is looked at too
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)
    print(json.dumps({
        "ir": model.ir_version,
        "opset": {o.domain: o.version for o in model.opset_import},
        "operators": sorted({(n.domain + "." if n.domain else "") + n.op_type for n in model.graph.node}),
        "inputs": {v.name: shape(v) for v in model.graph.input},
        "outputs": {v.name: shape(v) for v in model.graph.output},
        "metadata": {p.key: p.value for p in model.metadata_props},
        "values": {t.name: onnx.numpy_helper.to_array(t).ravel()[:4].tolist() for t in model.graph.initializer[:64]},
    }))
