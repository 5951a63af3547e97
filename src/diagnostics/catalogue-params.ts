/** PHD03xx: parameters, their values and the constraints on them. */
import { defineDiagnostics } from "./define.js";

export const paramDiagnostics = defineDiagnostics({});
