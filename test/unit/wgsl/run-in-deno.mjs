// Runs kernels on Deno's WebGPU (wgpu and naga). Reads a JSON list of runs from stdin and writes the results to stdout:
// for each run the buffers it left, or what the implementation complained about. Bytes travel as base64.
const { Deno, navigator } = globalThis;
const runs = JSON.parse(await new Response(Deno.stdin.readable).text());
const adapter = await navigator.gpu.requestAdapter();
const hasHalf = adapter?.features.has("shader-f16") ?? false;
const device = await adapter?.requestDevice({ requiredFeatures: hasHalf ? ["shader-f16"] : [] });

const results = [];
for (const run of runs) {
  if (device === undefined) results.push({ skipped: "Deno finds no adapter" });
  else if (run.needsHalf && !hasHalf) results.push({ skipped: `${adapter.info.description} has no shader-f16` });
  else results.push(await execute(run));
}
const description = adapter?.info.description ?? "none";
await Deno.stdout.write(new TextEncoder().encode(JSON.stringify({ adapter: description, results })));

async function execute({ code, entryPoint, buffers, params, workgroups }) {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module, entryPoint } });
  const error = await device.popErrorScope();
  if (error !== null) return { error: error.message };
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const made = buffers.map((base64) => makeBuffer(Uint8Array.fromBase64(base64), usage));
  const entries = made.map((buffer, binding) => ({ binding, resource: { buffer } }));
  if (params !== "") {
    const buffer = makeBuffer(Uint8Array.fromBase64(params), GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    entries.push({ binding: made.length, resource: { buffer } });
  }
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(...workgroups);
  pass.end();
  const readbacks = made.map((buffer) => {
    const readback = device.createBuffer({
      size: buffer.size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    encoder.copyBufferToBuffer(buffer, 0, readback, 0, buffer.size);
    return readback;
  });
  device.queue.submit([encoder.finish()]);
  const bytes = [];
  for (const readback of readbacks) {
    await readback.mapAsync(GPUMapMode.READ);
    bytes.push(new Uint8Array(readback.getMappedRange()).toBase64());
  }
  return { bytes };
}

function makeBuffer(bytes, usage) {
  const buffer = device.createBuffer({ size: bytes.length, usage });
  device.queue.writeBuffer(buffer, 0, bytes);
  return buffer;
}
