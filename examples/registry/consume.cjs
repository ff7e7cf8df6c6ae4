// Runs a model with Node's onnxruntime-node on the rows of a .npy file and compares
// its probabilities with a table that `medprobe predict` wrote.
//
//   node consume.cjs NODE_MODULES MODEL.onnx INPUT ROWS.npy WANT.csv TOLERANCE
"use strict";
const fs = require("fs");
const path = require("path");
const [modules, model, input, rows, want, tolerance] = process.argv.slice(2);
const ort = require(path.join(path.resolve(modules), "onnxruntime-node"));

// A .npy file of version 1: a header that is a Python dictionary, then the values.
function readNpy(file) {
  const bytes = fs.readFileSync(file);
  const start = 10 + bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, start);
  if (!header.includes("'<f4'") || !header.includes("'fortran_order': False")) throw new Error(`${file}: ${header}`);
  const shape = header.match(/\(([^)]*)\)/)[1].split(",").filter((n) => n.trim()).map(Number);
  return new ort.Tensor("float32", new Float32Array(bytes.buffer.slice(bytes.byteOffset + start)), shape);
}

(async () => {
  const [header, ...lines] = fs.readFileSync(want, "utf8").trim().split("\n").map((line) => line.split(","));
  const session = await ort.InferenceSession.create(model);
  const got = await session.run({ [input]: readNpy(rows) });
  const classes = got.probabilities.dims[1];
  const first = header.length - classes; // columns before are of the rows themselves
  let worst = 0;
  lines.forEach((line, i) => {
    for (let k = 0; k < classes; k++) worst = Math.max(worst, Math.abs(got.probabilities.data[i * classes + k] - Number(line[first + k])));
    // Findings: the most probable one, or nothing where none reaches .5.
    const p = Array.from(got.probabilities.data.slice(i * classes, (i + 1) * classes));
    const best = p.indexOf(Math.max(...p));
    const label = p[best] >= 0.5 ? header[first + best] : "";
    if (got.label.data[i] !== label) throw new Error(`row ${i}: label ${got.label.data[i]}, want ${label}`);
  });
  if (lines.length !== got.probabilities.dims[0] || !(worst <= Number(tolerance))) {
    throw new Error(`${model}: ${got.probabilities.dims} probabilities, ${worst} from ${lines.length} rows of medprobe's`);
  }
  console.log(`${model}: ${lines.length} rows, greatest difference ${worst.toExponential(1)}`);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
