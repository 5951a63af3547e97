// Bundles the command line, so that a command starts by reading a few files instead of a thousand: most of a short command was the
// loading of modules. Commands stay apart, each with what only it needs. Native libraries stay in node_modules.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = fileURLToPath(new URL("..", import.meta.url));
const native = ["@huggingface/tokenizers", "@sparticuz/chromium", "koffi", "webgpu"];

const bundle = await rolldown({
  input: ["main", "process"].map((name) => join(root, `dist/cli/${name}.js`)),
  platform: "node",
  external: [/^node:/, ...native],
});
await bundle.write({ dir: join(root, "dist/command"), format: "esm", cleanDir: true });
await bundle.close();
