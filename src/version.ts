/** The version of this compiler; a test keeps it equal to `package.json`. */
export const version = "0.1.0";

/** The version of koffi that CUDA packages ask for; the same test keeps it equal to the compiler's own. */
export const koffiVersion = "3.3.4";

/** Who wrote a package, for its manifest. */
export const generator = `phdc ${version}`;
