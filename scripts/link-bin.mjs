// Puts this package's own command where npx looks for commands of the project, so that `npx phdc` works in the root after `npm ci`.
//
// `package.json` has no `bin` but while it is packed: with one, npx would first install the package into its own cache, which builds it
// a second time and needs the network.
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "node_modules/.bin");

// Nothing to do where the package is built inside of another project's node_modules.
if (existsSync(join(root, "node_modules"))) {
  mkdirSync(folder, { recursive: true });
  const link = join(folder, "phdc");
  rmSync(link, { force: true });
  if (process.platform === "win32") {
    writeFileSync(`${link}.cmd`, `@node "%~dp0\\..\\..\\bin\\phdc.js" %*\r\n`);
  } else {
    symlinkSync("../../bin/phdc.js", link);
  }
}
