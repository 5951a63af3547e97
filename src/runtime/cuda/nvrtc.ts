/**
 * NVRTC, NVIDIA's compiler as a library: modules from kernel texts in this process.
 *
 * The library comes with the CUDA toolkit or as a package of its own; the headers of half-precision types that kernels include come
 * with the toolkit.
 */
import koffi from "koffi";
import { everyOf } from "../compute-device.js";
import { DeviceError, NoAdapter } from "../errors.js";
import type { HostMemory } from "./driver.js";
import { processMemory } from "./koffi-driver.js";
import type { KernelText, ModuleBuilder, ModuleImage, ModuleSource } from "./module-builder.js";

/** The functions of NVRTC that are called, as C has them. Each returns an nvrtcResult, and programs are handles. */
export interface NvrtcFunctions {
  nvrtcVersion(major: Int32Array, minor: Int32Array): number;
  nvrtcCreateProgram(
    program: BigUint64Array,
    text: string,
    name: string,
    headerCount: number,
    headers: readonly string[],
    headerNames: readonly string[],
  ): number;
  /** In a thread of its own, so that kernels compile side by side. */
  nvrtcCompileProgram(program: bigint, count: number, options: readonly string[]): Promise<number>;
  nvrtcGetProgramLogSize(program: bigint, bytes: BigUint64Array): number;
  nvrtcGetProgramLog(program: bigint, log: Uint8Array): number;
  nvrtcGetCUBINSize(program: bigint, bytes: BigUint64Array): number;
  nvrtcGetCUBIN(program: bigint, image: Uint8Array): number;
  nvrtcDestroyProgram(program: BigUint64Array): number;
  /** The address of a text. */
  nvrtcGetErrorString(result: number): bigint;
}

export interface NvrtcLibrary {
  readonly path: string;
  /** As in `12.8`. */
  readonly version: string;
  readonly functions: NvrtcFunctions;
  readonly memory: HostMemory;
}

/** Names under which the library is looked for, newest first. */
const usualNames: Readonly<Record<string, readonly string[]>> = {
  win32: ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"],
  linux: ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"],
};

interface Process {
  readonly platform: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const here = (globalThis as { readonly process?: Process }).process ?? { platform: "linux", env: {} };

let loaded: NvrtcLibrary | undefined;
/** koffi unloads a library whose handle is collected. */
const handles: unknown[] = [];

/** Loads NVRTC. Throws NoAdapter, with every name that was tried, when it is not there. */
export function loadNvrtc(paths: readonly string[] = usualNames[here.platform] ?? []): NvrtcLibrary {
  if (loaded !== undefined && paths.includes(loaded.path)) return loaded;
  for (const path of paths) {
    try {
      loaded = bind(path);
      return loaded;
    } catch {
      // The next name may be there.
    }
  }
  throw new NoAdapter(`the library is not installed: tried ${paths.join(", ")}`, { details: { tried: paths } });
}

function bind(path: string): NvrtcLibrary {
  const handle = koffi.load(path);
  const func = (name: string, result: string, args: string[]) => handle.func(name, result, args);
  const texts = "const char **";
  const compile = func("nvrtcCompileProgram", "int", ["uint64_t", "int", texts]);
  const functions: NvrtcFunctions = {
    nvrtcVersion: func("nvrtcVersion", "int", ["void *", "void *"]),
    nvrtcCreateProgram: func("nvrtcCreateProgram", "int", ["void *", "str", "str", "int", texts, texts]),
    nvrtcCompileProgram: (program, count, options) =>
      new Promise((resolve, reject) => {
        compile.async(program, count, options, (error: Error | null, result: number) =>
          error === null ? resolve(result) : reject(error),
        );
      }),
    nvrtcGetProgramLogSize: func("nvrtcGetProgramLogSize", "int", ["uint64_t", "void *"]),
    nvrtcGetProgramLog: func("nvrtcGetProgramLog", "int", ["uint64_t", "void *"]),
    nvrtcGetCUBINSize: func("nvrtcGetCUBINSize", "int", ["uint64_t", "void *"]),
    nvrtcGetCUBIN: func("nvrtcGetCUBIN", "int", ["uint64_t", "void *"]),
    nvrtcDestroyProgram: func("nvrtcDestroyProgram", "int", ["void *"]),
    nvrtcGetErrorString: func("nvrtcGetErrorString", "void *", ["int"]),
  };
  handles.push(handle);
  const [major, minor] = [new Int32Array(1), new Int32Array(1)];
  functions.nvrtcVersion(major, minor);
  return { path, version: `${major[0]}.${minor[0]}`, functions, memory: processMemory };
}

/** Folders in which the toolkit's headers may be; NVRTC passes over those that are not there. */
function includeFolders(): readonly string[] {
  const { CUDA_PATH, CUDA_HOME } = here.env;
  const roots = [CUDA_PATH, CUDA_HOME, "/usr/local/cuda", "/opt/cuda"].filter((root) => root !== undefined);
  return [...roots.map((root) => `${root}/include`), "/usr/include"];
}

/** Compiles each kernel to a cubin for the device. `library` is loaded when it is first needed. */
export function nvrtcBuilder(library: () => NvrtcLibrary = loadNvrtc): ModuleBuilder {
  return {
    name: "NVRTC",
    build: (source) => {
      const nvrtc = library();
      return everyOf(source.kernels.map((kernel) => compileKernel(nvrtc, kernel, source)));
    },
  };
}

async function compileKernel(
  { functions, memory, version }: NvrtcLibrary,
  { info, text }: KernelText,
  { headers, computeCapability }: ModuleSource,
): Promise<ModuleImage> {
  const folders = includeFolders();
  const check = (call: string, result: number, log = "") => {
    if (result === 0) return;
    const meaning = memory.text(functions.nvrtcGetErrorString(result));
    throw new DeviceError(`${info.file}: ${call} gave ${meaning}${log === "" ? "" : `:\n${log}`}`, {
      details: { kernel: info.name, file: info.file, call, result: meaning, version },
      hint: `This is NVRTC ${version}. It needs headers of its own version, which it looked for in ${folders.join(", ")}; CUDA_HOME says where else.`,
    });
  };
  const options = [
    `--gpu-architecture=sm_${computeCapability}`,
    "--std=c++17",
    ...folders.map((folder) => `--include-path=${folder}`),
  ];
  const program = new BigUint64Array(1);
  const texts = [...headers.values()];
  const names = [...headers.keys()];
  check("nvrtcCreateProgram", functions.nvrtcCreateProgram(program, text, info.file, texts.length, texts, names));
  try {
    const compiled = await functions.nvrtcCompileProgram(program[0]!, options.length, options);
    const size = new BigUint64Array(1);
    check("nvrtcGetProgramLogSize", functions.nvrtcGetProgramLogSize(program[0]!, size));
    const log = new Uint8Array(Number(size[0]));
    check("nvrtcGetProgramLog", functions.nvrtcGetProgramLog(program[0]!, log));
    check("nvrtcCompileProgram", compiled, new TextDecoder().decode(log).replaceAll("\0", "").trim());
    check("nvrtcGetCUBINSize", functions.nvrtcGetCUBINSize(program[0]!, size));
    const image = new Uint8Array(Number(size[0]));
    check("nvrtcGetCUBIN", functions.nvrtcGetCUBIN(program[0]!, image));
    return { kernels: [info.name], image };
  } finally {
    functions.nvrtcDestroyProgram(program);
  }
}
