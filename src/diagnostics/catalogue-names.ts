/** PHD01xx: names that mean nothing, mean two things, or mean themselves. */
import { defineDiagnostics } from "./define.js";

export const nameDiagnostics = defineDiagnostics({});
