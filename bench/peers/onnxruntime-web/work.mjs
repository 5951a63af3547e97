// What engines ask of the device for a prompt and for a step, by what it is for.

/** In phdc, norms, activations and residuals are parts of the products; the peer's stand by themselves, and are the rest. */
const kinds = [
  { kind: "products", names: /^linear_|^MatMul/ },
  // Also what makes keys and queries ready for it: rotation, norms of heads, the way into the cache.
  { kind: "attention", names: /attention|^finish_|^store_keys|^FlashAttention|^SplitPackedQKV/ },
];
const kindOf = (name) => kinds.find(({ names }) => names.test(name))?.kind ?? "rest";

/** The work of every engine and phase, its kernels sorted into kinds and their milliseconds added up. */
export function workByKind(work) {
  return mapValues(work, (phases) =>
    mapValues(phases, ({ kernels, ...counted }) => {
      const sorted = kernels.map(({ name, ...kernel }) => ({ name, kind: kindOf(name), ...kernel }));
      const sum = (kind) => sorted.reduce((total, each) => total + (each.kind === kind ? each.ms : 0), 0);
      const kernelMs = { products: sum("products"), attention: sum("attention"), rest: sum("rest") };
      return { ...counted, kernelMs, kernels: sorted };
    }),
  );
}

const mapValues = (object, change) =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));

/** A table of a phase in Markdown: what is counted, and where the time goes. */
export function describeWork(phase, names, work, medianOf) {
  const rows = names.map((name) => {
    const { dispatches, submits, passes, writtenBytes, copiedBytes, kernelMs } = work[name][phase];
    const { products, attention, rest } = kernelMs;
    const times = [products, attention, rest, medianOf(name) - products - attention - rest, medianOf(name)];
    return [name, dispatches, submits, passes, writtenBytes, copiedBytes, ...times.map((ms) => ms.toFixed(1))];
  });
  const head = [phase, "dispatches", "submissions", "passes", "bytes written", "bytes copied"];
  const lines = [[...head, "products", "attention", "rest", "between kernels", "ms"], ...rows];
  lines.splice(
    1,
    0,
    lines[0].map(() => "--"),
  );
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
