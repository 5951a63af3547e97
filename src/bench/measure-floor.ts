/** What a device can do at most: the rates that every other figure is held against. */
import type { Capabilities } from "../ir/kernel/capabilities.js";
import type { BoundCall, ComputeDevice, DeviceBuffer } from "../runtime/compute-device.js";
import {
  arithmeticFlops,
  arithmeticWorkgroup,
  copyBytesPerWorkgroup,
  matrixFlops,
  probePackage,
  spread,
} from "./probes.js";
import type { Floor } from "./report.js";
import { type Summary, summarise } from "./statistics.js";
import { timeCalls, timeSubmissions } from "./time-calls.js";

export interface FloorOptions {
  readonly repeat: number;
  /** Of each of the two buffers; more than any cache of the device. */
  readonly copyBytes: number;
  /** Milliseconds that a measurement of arithmetic takes at least. */
  readonly leastMs: number;
}

/** Workgroups that compute: several for each core of the largest GPU. */
const computingWorkgroups = 2048;
const mostLoops = 1 << 16;

export async function measureFloor(
  device: ComputeDevice,
  capabilities: Pick<Capabilities, "matrix">,
  options: FloorOptions,
): Promise<Floor> {
  const { manifest, kernels, texts } = probePackage(device.target, capabilities);
  const opened = device.openKernels(manifest, { readText: async (file) => texts.get(file)! });
  const largest = Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize);
  const copyBytes = powerOfTwoBelow(Math.min(options.copyBytes, largest));
  const buffers = await device.allocate([
    { name: "source of the copy", purpose: "working", bytes: copyBytes },
    { name: "target of the copy", purpose: "working", bytes: copyBytes },
  ]);
  const runner = device.openRunner(opened);
  try {
    const [source, target] = [...buffers.values()] as [DeviceBuffer, DeviceBuffer];
    device.write(source, 0, nearlyOne(arithmeticWorkgroup * 4));
    const call = (kernel: string, workgroups: BoundCall["workgroups"], loops?: number): BoundCall => ({
      step: "a measurement",
      kernel,
      workgroups,
      parameters: loops === undefined ? {} : { loops },
      bindings: {},
      layer: undefined,
      firstRow: 0,
      part: undefined,
      info: kernels.find(({ name }) => name === kernel)!,
      buffers: [source, target].map((buffer) => ({ buffer, size: buffer.size })),
      block: loops === undefined ? new Uint8Array(0) : parameterBlock(loops),
    });
    await opened.prepare(kernels.map(({ name }) => name));

    const idle = await timeSubmissions(device, runner, [call("copy_probe", [1, 1, 1])], options.repeat);
    const submitMs = summarise(idle);
    const copy = call("copy_probe", spread(copyBytes / copyBytesPerWorkgroup));
    const copyMs = await timeCalls(device, runner, [copy], submitMs.median, options);

    const workgroups = Math.min(computingWorkgroups, copyBytes / copyBytesPerWorkgroup);
    const computing = async (kernel: string, flops: (workgroups: number, loops: number) => number) => {
      // One loop may be too short to time; loops double until they are not.
      let loops = 1;
      const calls = () => [call(kernel, [workgroups, 1, 1], loops)];
      while (loops < mostLoops && (await timeSubmissions(device, runner, calls(), 1))[0]! < options.leastMs) loops *= 2;
      return rate(flops(workgroups, loops), await timeCalls(device, runner, calls(), submitMs.median, options));
    };
    return {
      copyBytesPerSecond: rate(2 * copyBytes, copyMs),
      copyBytes: 2 * copyBytes,
      flopsPerSecond: await computing("arithmetic_probe", arithmeticFlops),
      ...(capabilities.matrix && { matrixFlopsPerSecond: await computing("matrix_probe", matrixFlops) }),
      submitMs,
    };
  } finally {
    runner.destroy();
    for (const buffer of buffers.values()) buffer.destroy();
    opened.close();
  }
}

/** What bounds arithmetic with weights of a type: matrix units where there are any for it. */
export function arithmeticRate({ flopsPerSecond, matrixFlopsPerSecond }: Floor, dtype: string): number {
  return (dtype === "f32" ? flopsPerSecond : (matrixFlopsPerSecond ?? flopsPerSecond)).median;
}

/** So much work per second, where it takes so many milliseconds. */
function rate(work: number, { median, lowerQuartile, upperQuartile, least, most, count }: Summary): Summary {
  const of = (ms: number) => (work / ms) * 1000;
  return {
    median: of(median),
    lowerQuartile: of(upperQuartile),
    upperQuartile: of(lowerQuartile),
    least: of(most),
    most: of(least),
    count,
  };
}

/** Factors that leave sums near where they are. */
function nearlyOne(count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, index) => 0.5 + (index % 7) * 1e-3);
}

function parameterBlock(loops: number): Uint8Array {
  const block = new Uint8Array(16);
  new DataView(block.buffer).setUint32(0, loops, true);
  return block;
}

function powerOfTwoBelow(bytes: number): number {
  return 2 ** Math.floor(Math.log2(bytes));
}
