/** PHD05xx: a `config.json` that phdc cannot or must not turn into a model. */
import { defineDiagnostics } from "./define.js";

export const importDiagnostics = defineDiagnostics({});
