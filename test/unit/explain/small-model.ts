/** Small compiled models, of a relation each. */
import { expect } from "vitest";
import { compileSource, type Program } from "../../../src/compile.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";

export interface SmallModel {
  readonly attend: string;
  readonly K: number;
  /** Of the layers with an odd index, where they differ. */
  readonly odd?: string;
  readonly layers?: number;
}

export function modelOf({ attend, K, odd, layers = 3 }: SmallModel): Program {
  const block = "x = llama_block(x, 2, 1, 4, 6)";
  const text = `use std.phd
use std.llama

model Small {
  repeat ${K}
  attend q -> k when ${attend}
  rotate t by t.pos
  forward(ids: [positions] int) -> [positions, 11] {
    var x = repeat(embed(ids, weight "embed" [11, 8]))
    for l in ${layers} within "layers.{l}" {
      ${odd === undefined ? block : `if l mod 2 == 1 { attend q -> k when ${odd} ${block} } else { ${block} }`}
    }
    predict copy K: unembed(x, 11)
  }
}
`;
  const { program, diagnostics } = compileSource(
    { name: "small.phd", text },
    { target: "webgpu", dtype: "f32", capabilities: portableCapabilities },
  );
  expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
  return program!;
}
