// Runs ONNX models with Node's onnxruntime-node and prints what they give.
//
//   node tools/reference/onnx_node.cjs NODE_MODULES JOBS.json
//
// JOBS.json: [{"model": path, "input": name, "shape": [...], "data": [...]}].
// Prints one JSON object a line: {"label": [...], "probabilities": [...], "names": [...]}.
"use strict";
const fs = require("fs");
const path = require("path");
const [modules, jobs] = process.argv.slice(2);
const ort = require(path.join(path.resolve(modules), "onnxruntime-node"));

(async () => {
  for (const job of JSON.parse(fs.readFileSync(jobs, "utf8"))) {
    const session = await ort.InferenceSession.create(job.model);
    const input = new ort.Tensor("float32", Float32Array.from(job.data), job.shape);
    const got = await session.run({ [job.input]: input });
    console.log(JSON.stringify({
      label: Array.from(got.label.data),
      probabilities: Array.from(got.probabilities.data),
      names: [...session.inputNames, ...session.outputNames],
    }));
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
