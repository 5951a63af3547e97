/** Puts what was scheduled, the model's own facts and the printed kernels together: the manifest of a package. */
import type { Graph } from "../ir/graph/ops.js";
import { printPredicateText } from "../ir/graph/text/predicate-text.js";
import type { Manifest } from "../runtime/manifest.js";
import { manifestVersion } from "../runtime/manifest.js";
import { packedShape } from "../runtime/packing.js";
import { type PackageText, type PrintedKernel, requirementsOf } from "./kernel-info.js";
import type { Schedule } from "./schedule.js";
import { sha256 } from "./sha256.js";

export interface PackageIdentity {
  /** The `.phd` file, as given to the compiler. */
  readonly source: string;
  /** `phdc 0.1.0`. */
  readonly generator: string;
  readonly target: Manifest["target"];
}

export function completeManifest(
  graph: Graph,
  { manifest }: Schedule,
  kernels: readonly PrintedKernel[],
  { source, generator, target }: PackageIdentity,
  headers: readonly PackageText[] = [],
): Manifest {
  const { vocab, layers, weights, ...scheduled } = manifest;
  const infos = kernels.map(({ info }) => info);
  // What can be bound in parts asks for no larger binding than every device has.
  const whole = weights.filter(({ splittable }) => !splittable);
  return {
    format: "phdc-package",
    version: manifestVersion,
    generator,
    target,
    model: {
      name: graph.name,
      source,
      parameters: graph.parameters,
      vocab,
      layers,
      copies: graph.copies,
      predictCopy: graph.predictCopy,
      attends: graph.attends.map(({ stated, predicate }) => printPredicateText(stated ?? predicate)),
    },
    ...scheduled,
    weights,
    kernels: infos,
    ...(target === "cuda" && {
      modules: { headers: headers.map(({ file, text }) => ({ file, sha256: sha256(text) })) },
    }),
    requires: requirementsOf(
      target,
      infos,
      whole.map(packedShape).map(({ rows, rowBytes }) => rows * rowBytes),
    ),
  };
}
