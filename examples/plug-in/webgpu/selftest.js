/**
 * Runs the self-test of a package through this loader: weights that follow from a seed, and the logits that the compiler computed.
 */
import { loadPackage } from "./webgpu.js";

/** The largest difference of a logit over a prompt and the decode steps after it. */
export async function runSelfTest(device, read) {
  const inSelfTest = (file) => read(`selftest/${file}`);
  const test = JSON.parse(await inSelfTest("expected.json"));
  const weights = (info, layer) => seededWeight(test.seed, info, layer);
  const sizes = { prompt: test.prefill, context: test.ids.length };
  const model = await loadPackage(device, inSelfTest, weights, sizes);
  let difference = 0;
  for (const [step, expected] of test.logits.entries()) {
    const position = test.prefill - 1 + step;
    const logits =
      step === 0
        ? await model.prefill(test.ids.slice(0, test.prefill))
        : await model.decode(test.ids[position], position);
    for (const [id, value] of expected.entries()) {
      const distance = Math.abs(logits[id] - value);
      difference = distance <= difference ? difference : distance; // so that a NaN is not lost
    }
  }
  return { passed: difference <= test.tolerance, difference, tolerance: test.tolerance };
}

/** The source tensors of a packed weight, stacked: [rows][columns]. */
function seededWeight(seed, { element, rows, columns, sources }, layer) {
  const Elements = element === "f16" ? Float16Array : Float32Array;
  const packed = new Elements(rows * columns);
  for (const { tensor, shape, row, zeros } of sources) {
    if (!zeros) packed.set(seededElements(seed, tensor.replaceAll("{l}", String(layer)), shape), row * columns);
  }
  return packed;
}

/** Matrices are uniform with variance 1 / columns, vectors lie between 0.5 and 1.5. */
function seededElements(seed, name, shape) {
  const count = shape.reduce((product, size) => product * size, 1);
  const hash = [...name].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 0x01000193), 0x811c9dc5);
  const start = mix(seed ^ hash);
  const scale = Math.sqrt(12 / shape.at(-1));
  return Float32Array.from({ length: count }, (_, index) => {
    const uniform = mix(start ^ index) / 2 ** 32;
    return shape.length > 1 ? Math.fround((uniform - 0.5) * scale) : 0.5 + uniform;
  });
}

function mix(value) {
  let bits = value >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}
