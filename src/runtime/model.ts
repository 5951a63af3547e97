/**
 * A model on a device: compiled kernels and weights, shared by any number of sessions.
 */
import { partName, plannedWeightBuffers } from "./buffers.js";
import { checkManifest } from "./check-manifest.js";
import type { Checkpoint } from "./checkpoint.js";
import {
  type ComputeDevice,
  type DeviceBuffer,
  type DeviceKernels,
  everyOf,
  type KernelFiles,
} from "./compute-device.js";
import { ManifestError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import { findMisfits, type PackedWeight, planWeights, weightBytes } from "./packing.js";
import { decodeContext } from "./phase-context.js";
import { callsOfPhase } from "./program.js";
import { type OpenOptions, Session } from "./session.js";
import { assertFits, type SessionOptions, type SessionShape, shapeSession } from "./shape.js";
import { type UploadOptions, uploadWeights } from "./upload.js";

export interface ModelSource extends KernelFiles {
  readonly manifest: Manifest;
  readonly checkpoint: Checkpoint;
}

export interface LoadOptions extends UploadOptions {
  /** The session that is going to be opened: what it needs is checked together with the weights, before these are read. */
  readonly session?: SessionOptions;
}

/**
 * Brings a model to a device.
 *
 * Everything that can fail early does: features and limits, misfits of the checkpoint, memory. Decode kernels of the session
 * that is announced compile while weights stream; others when a session first runs them.
 */
export async function loadModel(device: ComputeDevice, source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  const { manifest, checkpoint } = source;
  checkManifest(manifest);
  if (manifest.target !== device.target)
    throw new ManifestError("target", `compiled for ${manifest.target}, not for ${device.target}`);
  device.assertOffers(manifest.requires);

  const weights = planWeights(manifest, device.limits);
  const [misfit] = findMisfits(weights, checkpoint);
  if (misfit !== undefined) throw misfit;
  const shape = options.session && shapeSession(manifest, options.session, device.limits);
  const memory = options.session?.memory ?? device.freeMemory();
  if (shape !== undefined) assertFits(memory, weightBytes(weights), shape);

  const buffers = await device.allocate(plannedWeightBuffers(weights));
  const model = new Model(device, manifest, device.openKernels(manifest, source), weights, buffers);
  const buffersOf = ({ info, layer, parts }: PackedWeight) =>
    parts.map((_, part) => buffers.get(partName(info.name, layer, part))!);
  try {
    await everyOf([
      uploadWeights(device, weights, buffersOf, checkpoint, options),
      shape === undefined ? Promise.resolve() : compileDecode(model, shape),
    ]);
    return model;
  } catch (error) {
    model.close();
    throw error;
  }
}

/** Compiles what every decode step of a session of this shape runs. */
async function compileDecode(model: Model, shape: SessionShape): Promise<void> {
  await model.kernels.prepare(callsOfPhase(decodeContext(model, shape), { head: true }).map(({ kernel }) => kernel));
}

export class Model {
  readonly device: ComputeDevice;
  readonly manifest: Manifest;
  readonly kernels: DeviceKernels;
  readonly weights: readonly PackedWeight[];
  readonly buffers: ReadonlyMap<string, DeviceBuffer>;

  constructor(
    device: ComputeDevice,
    manifest: Manifest,
    kernels: DeviceKernels,
    weights: readonly PackedWeight[],
    buffers: ReadonlyMap<string, DeviceBuffer>,
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

  /** Frees weights and kernels. Sessions of the model must be closed before. */
  close(): void {
    for (const buffer of this.buffers.values()) buffer.destroy();
    this.kernels.close();
  }
}
