// The Chromium that npm installed, with WebGPU on its software adapter, and a server of static files: for benchmarks and tests, which
// start it alike. Types are in browser.d.mts, as tests are checked.
import { execFileSync } from "node:child_process";
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, extname, join, normalize } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";

/** `readTar` is that of the run time: benchmarks have it from the build, tests from the source. */
export async function openBrowser(readTar) {
  const executablePath = await chromium.executablePath();
  return playwright.launch({
    executablePath,
    headless: true,
    env: { ...process.env, ...missingLibraries(executablePath, readTar) },
    args: [
      "--no-sandbox",
      "--disable-dev-shm-usage",
      "--enable-unsafe-webgpu",
      "--use-webgpu-adapter=swiftshader",
      "--enable-features=Vulkan",
      // As in Node: SwiftShader takes seconds per kernel for what this feature asks of it.
      "--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
    ],
  });
}

/** Where the system lacks libraries that the browser needs (NSS, on a bare one), the package's own stand in for them. */
function missingLibraries(executable, readTar) {
  if (!execFileSync("ldd", [executable], { encoding: "utf8" }).includes("not found")) return {};
  const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
  const root = entry.slice(0, entry.lastIndexOf("chromium") + "chromium".length);
  const folder = join(mkdtempSync(join(tmpdir(), "phdc-libraries-")), "lib");
  mkdirSync(folder);
  for (const [name, data] of readTar(brotliDecompressSync(readFileSync(join(root, "bin/al2023.tar.br"))))) {
    if (name.includes(".so")) writeFileSync(join(folder, basename(name)), data);
  }
  return { LD_LIBRARY_PATH: folder };
}

const contentTypes = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wgsl": "text/plain",
  ".wasm": "application/wasm",
};

/** Serves folders by their first path segment, with no header but type and range; `pages` are files that exist nowhere else. */
export async function serve(folders, pages = {}) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    const type = contentTypes[extname(path)] ?? "application/octet-stream";
    if (pages[path] !== undefined) return void response.writeHead(200, { "content-type": type }).end(pages[path]);
    const [, first = "", ...rest] = path.split("/");
    const file = folders[first] === undefined ? undefined : join(folders[first], ...rest);
    const found = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
    if (found === undefined || !found.isFile()) return void response.writeHead(404).end();
    const { size } = found;
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    if (range === null) {
      response.writeHead(200, { "content-type": type, "content-length": size });
      return void createReadStream(file).pipe(response);
    }
    const [start, end] = [Number(range[1]), Math.min(Number(range[2]), size - 1)];
    const contentRange = `bytes ${start}-${end}/${size}`;
    response.writeHead(206, { "content-type": type, "content-length": end - start + 1, "content-range": contentRange });
    createReadStream(file, { start, end }).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
