/** Comparing shapes, and saying in the model's own words how they differ. */
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import type { Span } from "../../source/source-file.js";
import type { Dim, TensorType } from "./checked-model.js";
import { type Context, callLabels } from "./context.js";
import type { Equations, Size } from "./size.js";
import { printType } from "./values.js";

/** Why two types differ; the kinds are told apart because the way out differs. */
export type Mismatch =
  | { readonly kind: "shape" }
  | { readonly kind: "axis"; readonly expected: string; readonly found: string }
  /** Same value, but not the same polynomial. */
  | { readonly kind: "accident"; readonly left: Size; readonly right: Size };

export function compareTypes(expected: TensorType, found: TensorType, equations: Equations): Mismatch | undefined {
  if (expected.dims.length !== found.dims.length || expected.element !== found.element) return { kind: "shape" };
  let accident: Mismatch | undefined;
  for (const [index, dim] of expected.dims.entries()) {
    const mismatch = compareDims(dim, found.dims[index]!, equations);
    if (mismatch?.kind === "accident") accident ??= mismatch;
    else if (mismatch !== undefined) return mismatch;
  }
  return accident;
}

export function compareDims(expected: Dim, found: Dim, equations: Equations): Mismatch | undefined {
  if (expected.kind === "axis" && found.kind === "axis") {
    return expected.name === found.name ? undefined : { kind: "axis", expected: expected.name, found: found.name };
  }
  if (expected.kind === "axis" || found.kind === "axis") return { kind: "shape" };
  if (equations.equal(expected.size, found.size)) return undefined;
  return expected.size.value === found.size.value
    ? { kind: "accident", left: expected.size, right: found.size }
    : { kind: "shape" };
}

/** A type, and the text that has it. */
export interface TypedPlace {
  readonly type: TensorType;
  readonly span: Span;
  /** Set where the span is a type and not a value. */
  readonly isDeclaration?: boolean;
}

/** Reports a mismatch at what was found, with the place that says what was expected. */
export function reportMismatch(
  what: string,
  mismatch: Mismatch,
  context: Context,
  places: {
    readonly expected: TypedPlace;
    readonly found: TypedPlace;
    /** The type that would suit, where it is not that of `expected` itself. */
    readonly wanted?: TensorType;
  },
): void {
  const { expected, found } = places;
  const sameSpan = expected.span.start === found.span.start && expected.span.file === found.span.file;
  const labels = [
    label(found.span, `this is ${printType(found.type)}`),
    ...(sameSpan
      ? []
      : [
          label(
            expected.span,
            `${expected.isDeclaration ? "declared as" : "while this is"} ${printType(expected.type)}`,
          ),
        ]),
    ...callLabels(context),
  ];
  const { state } = context;
  switch (mismatch.kind) {
    case "shape": {
      const report = { what, expected: printType(places.wanted ?? expected.type), found: printType(found.type) };
      state.report(shapeDiagnostics.shapesDiffer(report, ...labels));
      return;
    }
    case "axis":
      state.report(shapeDiagnostics.axesMix({ what, expected: mismatch.expected, found: mismatch.found }, ...labels));
      return;
    case "accident": {
      const { left, right } = mismatch;
      const report = { left: left.text, right: right.text, value: left.value };
      state.report(shapeDiagnostics.equalByAccident(report, ...labels));
    }
  }
}
