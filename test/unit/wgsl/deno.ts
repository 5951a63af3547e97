import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { emitWgsl } from "../../../src/backends/wgsl/module.js";
import type { BufferData } from "../../../src/interpret/kernel/run-kernel.js";
import { vulkanEnvironment } from "../../support/vulkan.js";
import { encodeParams } from "./compare.js";
import type { Trial } from "./trials.js";

export type DenoResult =
  | { readonly kind: "ran"; readonly buffers: Readonly<Record<string, BufferData>> }
  | { readonly kind: "refused"; readonly error: string }
  | { readonly kind: "skipped"; readonly reason: string };

interface Reply {
  readonly results: readonly {
    readonly bytes?: readonly string[];
    readonly error?: string;
    readonly skipped?: string;
  }[];
}

/** Runs kernels in Deno, on lavapipe where the system has it, else on npm's software adapter. */
export async function runInDeno(trials: readonly Trial[]): Promise<readonly DenoResult[]> {
  const runs = trials.map(({ kernel, run }) => ({
    code: emitWgsl(kernel),
    entryPoint: kernel.name,
    needsHalf: kernel.requires.includes("f16"),
    buffers: kernel.buffers.map(({ name }) => toBase64(run.buffers[name]!)),
    params: Buffer.from(encodeParams(kernel, run.params)).toString("base64"),
    workgroups: run.workgroups,
  }));
  const reply = JSON.parse(await runDeno(JSON.stringify(runs), await vulkanEnvironment("mesa"))) as Reply;
  return reply.results.map((result, i): DenoResult => {
    if (result.skipped !== undefined) return { kind: "skipped", reason: result.skipped };
    if (result.bytes === undefined) return { kind: "refused", error: result.error ?? "no result" };
    const { kernel, run } = trials[i]!;
    const buffers = kernel.buffers.map(({ name }, binding) => {
      const bytes = Uint8Array.from(Buffer.from(result.bytes![binding]!, "base64"));
      const like = run.buffers[name]!;
      const View = like.constructor as new (buffer: ArrayBuffer, offset: number, length: number) => BufferData;
      return [name, new View(bytes.buffer, 0, like.length)] as const;
    });
    return { kind: "ran", buffers: Object.fromEntries(buffers) };
  });
}

/** Storage bindings are multiples of four bytes. */
function toBase64(data: BufferData): string {
  const bytes = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return Buffer.from(bytes).toString("base64");
}

function runDeno(input: string, environment: Readonly<Record<string, string>>): Promise<string> {
  const command = createRequire(import.meta.url).resolve("deno/bin.cjs");
  const script = join(dirname(fileURLToPath(import.meta.url)), "run-in-deno.mjs");
  const env = { ...process.env, ...environment, DENO_NO_UPDATE_CHECK: "1" };
  const child = spawn(process.execPath, [command, "run", "--quiet", "--no-lock", "--unstable-webgpu", script], { env });
  child.stdin.end(input);
  const collect = (stream: NodeJS.ReadableStream) =>
    new Promise<string>((resolve) => {
      let text = "";
      stream.setEncoding?.("utf8");
      stream.on("data", (chunk: string) => {
        text += chunk;
      });
      stream.on("end", () => resolve(text));
    });
  return Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    new Promise<number | null>((resolve) => child.on("close", resolve)),
  ]).then(([output, complaints, code]) => {
    if (code !== 0 || output === "") throw new Error(`deno ended with ${code}: ${complaints}`);
    return output;
  });
}
