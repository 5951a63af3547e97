/**
 * The kernels of a package, each once.
 *
 * Kernels are pure functions of their options, so steps that ask for the same family with equal options share one. Two kernels of one
 * name that differ (two epilogues of one shape) are told apart by a number.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import type { Kernel } from "../ir/kernel/kernel.js";

export class KernelLibrary {
  private readonly byOptions = new Map<string, Kernel>();
  private readonly byName = new Map<string, Kernel>();

  /** The kernel that `build` makes from `options`, built at most once. */
  get<Options>(family: string, options: Options, build: (options: Options) => Kernel): Kernel {
    const key = `${family} ${JSON.stringify(options)}`;
    const known = this.byOptions.get(key);
    if (known !== undefined) return known;
    const kernel = this.named(build(options));
    this.byOptions.set(key, kernel);
    return kernel;
  }

  /** In the order in which they were first asked for. */
  get kernels(): readonly Kernel[] {
    return [...this.byName.values()];
  }

  private named(kernel: Kernel): Kernel {
    let name = kernel.name;
    for (let count = 2; this.byName.has(name); count++) {
      const holder = this.byName.get(name)!;
      if (contents(holder) === contents(kernel)) return holder;
      name = `${kernel.name}_${count}`;
      if (count > 1000) throw new InternalError(`too many kernels are named ${kernel.name}`);
    }
    const own = { ...kernel, name };
    this.byName.set(name, own);
    return own;
  }
}

/** All of a kernel but its name. */
function contents({ name: _, ...rest }: Kernel): string {
  return JSON.stringify(rest);
}
