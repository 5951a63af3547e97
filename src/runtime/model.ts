/**
 * A model on a device: compiled kernels and weights, shared by any number of sessions.
 */
import { allocate, partName, plannedWeightBuffers } from "./buffers.js";
import type { Checkpoint } from "./checkpoint.js";
import type { Device } from "./device.js";
import { ManifestError } from "./errors.js";
import { compileKernels, everyOf, type Kernel, type ReadText } from "./kernels.js";
import { type Manifest, manifestVersion } from "./manifest.js";
import { findMisfits, type PackedWeight, planWeights, weightBytes } from "./packing.js";
import { type OpenOptions, Session } from "./session.js";
import { assertFits, type SessionOptions, shapeSession } from "./shape.js";
import { type UploadOptions, uploadWeights } from "./upload.js";

export interface ModelSource {
  readonly manifest: Manifest;
  /** Reads a kernel file of the package. */
  readonly readText: ReadText;
  readonly checkpoint: Checkpoint;
}

export interface LoadOptions extends UploadOptions {
  /** The session that is going to be opened: what it needs is checked together with the weights, before these are read. */
  readonly session?: SessionOptions;
}

/**
 * Brings a model to a device.
 *
 * Everything that can fail early does: features and limits, misfits of the checkpoint, memory. Kernels compile while weights stream.
 */
export async function loadModel(device: Device, source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  const { manifest, readText, checkpoint } = source;
  assertRunnable(manifest);
  device.assertOffers(manifest.requires);

  const weights = planWeights(manifest, device.limits);
  const [misfit] = findMisfits(weights, checkpoint);
  if (misfit !== undefined) throw misfit;
  if (options.session !== undefined) {
    assertFits(options.session.memory, weightBytes(weights), shapeSession(manifest, options.session, device.limits));
  }

  const buffers = await allocate(device, plannedWeightBuffers(weights));
  const buffersOf = ({ info, layer, parts }: PackedWeight) =>
    parts.map((_, part) => buffers.get(partName(info.name, layer, part))!);
  try {
    const [kernels] = await everyOf([
      compileKernels(device, manifest, readText),
      uploadWeights(device, weights, buffersOf, checkpoint, options),
    ]);
    return new Model(device, manifest, kernels, weights, buffers);
  } catch (error) {
    for (const buffer of buffers.values()) buffer.destroy();
    throw error;
  }
}

function assertRunnable(manifest: Manifest): void {
  if (manifest.format !== "phdc-package") throw new ManifestError("format", "this is no phdc package");
  if (manifest.version !== manifestVersion) {
    throw new ManifestError(
      "version",
      `version ${manifest.version} is not ${manifestVersion}, which this run time executes`,
    );
  }
  if (manifest.target !== "webgpu")
    throw new ManifestError("target", `compiled for ${manifest.target}, not for webgpu`);
}

export class Model {
  readonly device: Device;
  readonly manifest: Manifest;
  readonly kernels: ReadonlyMap<string, Kernel>;
  readonly weights: readonly PackedWeight[];
  readonly buffers: ReadonlyMap<string, GPUBuffer>;

  constructor(
    device: Device,
    manifest: Manifest,
    kernels: ReadonlyMap<string, Kernel>,
    weights: readonly PackedWeight[],
    buffers: ReadonlyMap<string, GPUBuffer>,
  ) {
    this.device = device;
    this.manifest = manifest;
    this.kernels = kernels;
    this.weights = weights;
    this.buffers = buffers;
  }

  /** Opens a session with its own caches. */
  async openSession(options: OpenOptions): Promise<Session> {
    const shape = shapeSession(this.manifest, options, this.device.limits);
    assertFits(options.memory, weightBytes(this.weights), shape);
    return Session.open(this, shape, options);
  }

  /** Frees the weights. Sessions of the model must be closed before. */
  close(): void {
    for (const buffer of this.buffers.values()) buffer.destroy();
  }
}
