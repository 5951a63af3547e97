/** PHD07xx: devices that are missing, too small or lost, and limits met while a model runs. */
import { defineDiagnostics } from "./define.js";

export const deviceDiagnostics = defineDiagnostics({});
