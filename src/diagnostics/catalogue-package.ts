/** PHD08xx: compiled packages and manifests that cannot be trusted. */
import { defineDiagnostics } from "./define.js";

export const packageDiagnostics = defineDiagnostics({});
