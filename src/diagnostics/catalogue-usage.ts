/** PHD09xx: command lines that ask for something impossible. */
import { defineDiagnostics } from "./define.js";

export const usageDiagnostics = defineDiagnostics({});
