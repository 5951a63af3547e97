/** The nearest known name to one that is not known, for "did you mean". The run time, which packages carry alone, owns it. */
export { nearestName } from "../runtime/nearest-name.js";
