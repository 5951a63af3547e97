import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSafetensors } from "../../../src/runtime/checkpoint.js";
import { fetchSource } from "../../../src/runtime/fetch-source.js";
import { writeSafetensors } from "../../../src/runtime/safetensors.js";

const file = writeSafetensors([{ name: "ids", dtype: "U8", shape: [5], bytes: Uint8Array.of(1, 2, 3, 4, 5) }]);

/** Answers /ranges with ranges, /plain with whole files, /short with too few bytes; anything else is not there. */
let server: Server;
let origin: string;
let requests: string[] = [];
beforeAll(async () => {
  server = createServer((request, response) => {
    const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
    requests.push(`${request.url} ${range?.[0] ?? "whole"}`);
    if (request.url === "/plain") response.end(file);
    else if ((request.url === "/ranges" || request.url === "/short") && range !== null) {
      const [from, to] = [Number(range[1]), Number(range[2])];
      const end = request.url === "/short" && to > 0 ? to : to + 1;
      response.writeHead(206, { "content-range": `bytes ${from}-${to}/${file.length}` });
      response.end(file.subarray(from, end));
    } else {
      response.writeHead(404);
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

describe("weights at a web address", () => {
  it("are read by ranges, and only the bytes that are wanted", async () => {
    requests = [];
    const checkpoint = await openSafetensors(await fetchSource(`${origin}/ranges`));
    const tensor = checkpoint.tensors.get("ids")!;
    expect([...(await checkpoint.read(tensor, 1, 3))]).toEqual([2, 3, 4]);
    expect(requests.at(-1)).toBe(`/ranges bytes=${tensor.offset + 1}-${tensor.offset + 3}`);
  });

  it("are fetched once and kept where the server knows no ranges", async () => {
    requests = [];
    const checkpoint = await openSafetensors(await fetchSource(`${origin}/plain`));
    expect([...(await checkpoint.read(checkpoint.tensors.get("ids")!))]).toEqual([1, 2, 3, 4, 5]);
    expect(requests).toHaveLength(1);
  });

  it.each([
    ["/missing", "answered 404"],
    ["/short", "asked for 8 bytes, got 7"],
  ])("at %s are an error that says so", async (path, message) => {
    const opening = async () => openSafetensors(await fetchSource(`${origin}${path}`));
    await expect(opening()).rejects.toMatchObject({
      code: "file-unreadable",
      message: expect.stringContaining(message),
    });
  });

  it("on a server that is not there are an error with the address", async () => {
    await expect(fetchSource("http://127.0.0.1:1/model.safetensors")).rejects.toThrow(
      "http://127.0.0.1:1/model.safetensors: cannot be fetched",
    );
  });
});
