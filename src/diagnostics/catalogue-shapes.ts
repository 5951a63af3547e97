/** PHD02xx: values of the wrong type and tensors of the wrong shape. */
import { defineDiagnostics } from "./define.js";

export const shapeDiagnostics = defineDiagnostics({});
