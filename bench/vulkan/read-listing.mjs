// What RADV writes about a compute pipeline (RADV_DEBUG=shaders,shaderstats), as numbers.

/** Vector memory instructions of RDNA by what they move per lane. */
const loadBytes = {
  ubyte: 1,
  sbyte: 1,
  ubyte_d16: 1,
  ushort: 2,
  sshort: 2,
  short_d16: 2,
  u16: 2,
  i16: 2,
  d16_b16: 2,
  d16_u8: 1,
  u8: 1,
  dword: 4,
  b32: 4,
  dwordx2: 8,
  b64: 8,
  dwordx3: 12,
  b96: 12,
  dwordx4: 16,
  b128: 16,
};

/** Everything about one pipeline. */
export function readListing(text) {
  const number = (name) => Number(new RegExp(`^${name}: (\\d+)`, "m").exec(text)?.[1] ?? Number.NaN);
  const blocks = readBlocks(text);
  return {
    vgprs: number("VGPRs"),
    sgprs: number("SGPRs"),
    spilled: number("Spilled VGPRs") + number("Spilled SGPRs"),
    scratchBytes: number("Scratch size"),
    ldsBytes: number("LDS size"),
    wavesPerSimd: number("Subgroups per SIMD"),
    codeBytes: number("Code size"),
    latency: number("Latency"),
    inverseThroughput: number("Inverse Throughput"),
    loads: countLoads(blocks.flatMap(({ lines }) => lines)),
    loops: innerLoops(blocks).filter(({ loads }) => Object.keys(loads).length > 0),
  };
}

function readBlocks(text) {
  const listing = /^disasm:\n([\s\S]*?)\n\n/m.exec(text)?.[1];
  if (listing === undefined) throw new Error("RADV printed no instructions: it needs RADV_DEBUG=shaders");
  const blocks = [];
  for (const line of listing.split("\n")) {
    const label = /^BB(\d+):/.exec(line);
    if (label !== null) blocks.push({ label: Number(label[1]), lines: [] });
    else if (line.trim() !== "") blocks.at(-1).lines.push(line.replace(/;.*/, "").trim());
  }
  return blocks;
}

/** Loads of buffers by bytes per lane, and how many there are: `{ "16": 4 }`. */
function countLoads(lines) {
  const counts = {};
  for (const line of lines) {
    const kind = /^(?:buffer|global)_load_(\w+)/.exec(line)?.[1]?.replace(/_(hi|e32|e64)$/, "");
    if (kind === undefined) continue;
    const bytes = loadBytes[kind];
    if (bytes === undefined) throw new Error(`unknown load: ${line}`);
    counts[bytes] = (counts[bytes] ?? 0) + 1;
  }
  return counts;
}

/** Loops that hold no other: from the target of a branch back to the branch. */
function innerLoops(blocks) {
  const at = new Map(blocks.map(({ label }, index) => [label, index]));
  const loops = new Map();
  blocks.forEach(({ lines }, index) => {
    for (const line of lines) {
      const target = /^s_c?branch\w* BB(\d+)/.exec(line)?.[1];
      const from = target && at.get(Number(target));
      if (from !== undefined && from <= index) loops.set(from, Math.max(index, loops.get(from) ?? 0));
    }
  });
  const ranges = [...loops].map(([from, to]) => ({ from, to }));
  return ranges
    .filter((a) => !ranges.some((b) => b !== a && b.from >= a.from && b.to <= a.to))
    .map(({ from, to }) => describeLoop(blocks.slice(from, to + 1).flatMap(({ lines }) => lines)));
}

function describeLoop(lines) {
  const count = (pattern) => lines.filter((line) => pattern.test(line)).length;
  return {
    instructions: lines.length,
    loads: countLoads(lines),
    /** Loads that are under way before the loop first waits for one. */
    inFlight: Math.max(...flights(lines)),
    multiplyAdds: count(/^v_(pk_)?(fma|fmac|mac|mad|dot)/),
    ldsReads: count(/^ds_(read|load)/),
    branches: count(/^s_cbranch/),
  };
}

/** Loads between two waits for loads. */
function flights(lines) {
  const runs = [0];
  for (const line of lines) {
    if (/^(buffer|global)_load_/.test(line)) runs[runs.length - 1]++;
    else if (/^s_waitcnt\b.*vmcnt/.test(line)) runs.push(0);
  }
  return runs;
}
