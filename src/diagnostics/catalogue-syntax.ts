/** PHD00xx: text that is no `.phd` file, found by the lexer and the parser. */
import { defineDiagnostics } from "./define.js";

export const syntaxDiagnostics = defineDiagnostics({});
