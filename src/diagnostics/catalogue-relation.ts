/** PHD04xx: attend relations that look into the future, see nothing, or cannot be analysed. */
import { defineDiagnostics } from "./define.js";

export const relationDiagnostics = defineDiagnostics({});
