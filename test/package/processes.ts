/** Runs `exercise.js` outside of this process: in plain Node through Dawn, and in Deno through wgpu. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { vulkanEnvironment } from "../support/vulkan.js";

export interface ExerciseResult {
  readonly modelName: string;
  readonly copies: number;
  readonly ids: readonly number[];
  readonly test: { readonly passed: boolean; readonly difference: number; readonly tolerance: number };
  readonly adapter: string;
}

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const exerciseUrl = new URL("./exercise.js", import.meta.url).href;

export async function exerciseInNode(
  folder: string,
  prompt: readonly number[],
  maxTokens: number,
): Promise<ExerciseResult> {
  const script = `
    import { create } from ${JSON.stringify(pathToFileURL(require.resolve("webgpu")).href)};
    // As the adapter search does it: SwiftShader takes seconds per kernel for what this feature asks of it.
    const gpu = create(["disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension"]);
    const adapter = await gpu.requestAdapter();
    ${call(folder, prompt, maxTokens)}
    process.exit(0);`;
  return finish(process.execPath, ["--input-type=module", "--eval", script], await vulkanEnvironment("npm"));
}

/** A module that the stand-in for the CUDA driver loads, and the texts of the kernels in it, by name. */
export interface CompiledTexts {
  readonly file: string;
  readonly texts: Readonly<Record<string, string>>;
}

/** Through a driver library and modules that were compiled for it before: a package has no compiler of its own but NVRTC. */
export async function exerciseOnCuda(
  folder: string,
  prompt: readonly number[],
  maxTokens: number,
  driver: string,
  compiled: readonly CompiledTexts[],
): Promise<ExerciseResult & { readonly left: unknown }> {
  const url = JSON.stringify(pathToFileURL(folder).href);
  // Longer than a command line may be.
  const list = join(folder, "compiled-for-the-test.json");
  await writeFile(list, JSON.stringify(compiled));
  const script = `
    import { readFile } from "node:fs/promises";
    import { openDevice } from ${JSON.stringify(pathToFileURL(`${folder}/model.js`).href)};
    import { exerciseOn } from ${JSON.stringify(exerciseUrl)};
    const compiled = JSON.parse(await readFile(${JSON.stringify(list)}, "utf8"));
    const build = async ({ kernels }) => {
      const holds = ({ texts }) => kernels.every(({ info, text }) => texts[info.name] === text);
      const image = new Uint8Array(await readFile(compiled.find(holds).file));
      return [{ kernels: kernels.map(({ info }) => info.name), image }];
    };
    const device = openDevice({ driver: ${JSON.stringify(driver)}, builders: [{ name: "the test", build }] });
    const result = await exerciseOn(device, ${url}, ${JSON.stringify(prompt)}, ${maxTokens});
    device.close();
    console.log(JSON.stringify({ ...result, left: device.resources }));`;
  return (await finish(process.execPath, ["--input-type=module", "--eval", script], {})) as ExerciseResult & {
    readonly left: unknown;
  };
}

export async function exerciseInDeno(
  folder: string,
  prompt: readonly number[],
  maxTokens: number,
): Promise<ExerciseResult> {
  const script = `
    const adapter = await navigator.gpu.requestAdapter();
    ${call(folder, prompt, maxTokens)}
    Deno.exit(0);`;
  const args = [require.resolve("deno/bin.cjs"), "eval", "--quiet", "--no-lock", "--unstable-webgpu", script];
  return finish(process.execPath, args, await vulkanEnvironment("mesa"));
}

function call(folder: string, prompt: readonly number[], maxTokens: number): string {
  const url = JSON.stringify(pathToFileURL(folder).href);
  return `
    const { exercise } = await import(${JSON.stringify(exerciseUrl)});
    console.log(JSON.stringify(await exercise(adapter, ${url}, ${JSON.stringify(prompt)}, ${maxTokens})));`;
}

async function finish(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ExerciseResult> {
  const { stdout } = await run(command, args, {
    env: { ...process.env, ...env, DENO_NO_UPDATE_CHECK: "1" },
    maxBuffer: 1 << 24,
  });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as ExerciseResult;
}
