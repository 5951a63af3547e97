/** PHD06xx: weight files that are damaged, or do not fit the model. */
import { defineDiagnostics } from "./define.js";

export const weightDiagnostics = defineDiagnostics({});
