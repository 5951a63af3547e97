/** The version of this compiler; a test keeps it equal to `package.json`. */
export const version = "0.1.0";

/** Who wrote a package, for its manifest. */
export const generator = `phdc ${version}`;
