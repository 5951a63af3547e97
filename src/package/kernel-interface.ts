/** What a kernel's text says of how it is called, to be compared with what the manifest says of it. */
import type { Element, KernelInfo } from "../runtime/manifest.js";

/** The calling interface of a kernel, in the order of its text. */
export interface KernelInterface {
  readonly threads: number;
  readonly bindings: readonly {
    readonly element: string;
    readonly lanes: number;
    readonly access: "read" | "read_write";
  }[];
  /** Types of the parameters, which are fields of four bytes one after the other. */
  readonly parameters: readonly string[];
}

/** Reads the interface of an entry point; undefined where the text has none of that name. */
export function readInterface(text: string, { entryPoint, language }: KernelInfo): KernelInterface | undefined {
  return language === "cuda" ? readCuda(text, entryPoint) : readWgsl(text, entryPoint);
}

function readCuda(text: string, entryPoint: string): KernelInterface | undefined {
  const head = new RegExp(
    `extern "C" __global__ void __launch_bounds__\\((\\d+)[^)]*\\)\\s+${entryPoint}\\(([^)]*)\\)`,
  ).exec(text);
  if (head === null) return undefined;
  const [, threads, list] = head;
  const buffers = list!.matchAll(/(?:buffer|produced)<(const )?([\w<>]+?)>\s+\w+/g);
  const fields = new RegExp(`struct ${entryPoint}_params \\{([^}]*)\\}`).exec(text)?.[1] ?? "";
  return {
    threads: Number(threads),
    bindings: [...buffers].map(([, constant, type]) => ({
      ...elementsOf(type!),
      access: constant === undefined ? "read_write" : "read",
    })),
    parameters: [...fields.matchAll(/(\w+) \w+;/g)].map(([, type]) => type!),
  };
}

function readWgsl(text: string, entryPoint: string): KernelInterface | undefined {
  const head = new RegExp(`@workgroup_size\\((\\d+)\\)\\s*fn ${entryPoint}\\(`).exec(text);
  if (head === null) return undefined;
  const storage = text.matchAll(/@binding\(\d+\) var<storage, (read|read_write)> \w+: array<([\w<>]+)>;/g);
  const fields = /struct Params \{([^}]*)\}/.exec(text)?.[1] ?? "";
  return {
    threads: Number(head[1]),
    bindings: [...storage].map(([, access, type]) => ({
      ...elementsOf(type!),
      access: access as "read" | "read_write",
    })),
    parameters: [...fields.matchAll(/\w+: (\w+),/g)].map(([, type]) => type!),
  };
}

function elementsOf(type: string): { readonly element: string; readonly lanes: number } {
  const vector = /^vec(\d)<(\w+)>$/.exec(type);
  return vector === null ? { element: type, lanes: 1 } : { element: vector[2]!, lanes: Number(vector[1]) };
}

const fieldBytes = 4;

/** Everything in which a kernel's text and its entry in the manifest differ. */
export function interfaceProblems(info: KernelInfo, text: string): readonly string[] {
  const found = readInterface(text, info);
  if (found === undefined) return [`${info.file} has no entry point ${info.entryPoint}`];
  const problems: string[] = [];
  const expect = (what: string, said: string | number, inText: string | number | undefined) => {
    if (said !== inText) {
      problems.push(`${info.file}: the manifest says ${what} is ${said}, the text ${inText ?? "has none"}`);
    }
  };
  expect(
    "the number of threads",
    info.workgroupSize.reduce((product, size) => product * size, 1),
    found.threads,
  );
  expect("the number of bindings", info.bindings.length, found.bindings.length);
  for (const [index, { name, element, lanes, access }] of info.bindings.entries()) {
    const own = found.bindings[index];
    if (own === undefined) continue;
    expect(
      `${name} (binding ${index})`,
      describe(element, lanes, access),
      describe(own.element, own.lanes, own.access),
    );
  }
  expect("the number of parameters", info.parameters.length, found.parameters.length);
  for (const [index, { name, type, offset }] of info.parameters.entries()) {
    if (found.parameters[index] !== undefined) expect(`the type of ${name}`, type, found.parameters[index]);
    expect(`the offset of ${name}`, offset, index * fieldBytes);
  }
  return problems;
}

const describe = (element: Element | string, lanes: number, access: string) => `${element} × ${lanes}, ${access}`;
