/**
 * Errors of the run time, all of them typed: a caller tells them apart by class or by `code`, and finds the figures in `details`.
 *
 * They are errors of the world (files, devices, requests), not of the program. A broken invariant of the run time itself throws a
 * plain `Error`.
 */

/** The figures and names of an error, for machines; the message says the same in words. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[] | readonly number[]>>;

export interface ErrorExtras {
  readonly details?: ErrorDetails;
  /** A way out, one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

export class PhdcError extends Error {
  override readonly name: string = "PhdcError";
  /** Stable and in kebab case: `context-full`, `tensor-overlap`. */
  readonly code: string;
  readonly details: ErrorDetails;
  readonly hint: string | undefined;

  constructor(code: string, message: string, extras: ErrorExtras = {}) {
    super(message, extras.cause === undefined ? undefined : { cause: extras.cause });
    this.code = code;
    this.details = extras.details ?? {};
    this.hint = extras.hint;
  }
}

/** What can be wrong with a checkpoint. */
export type WeightsErrorCode =
  | "file-unreadable"
  | "header-truncated"
  | "header-too-large"
  | "header-invalid"
  | "tensor-entry-invalid"
  | "tensor-duplicate"
  | "tensor-dtype-unknown"
  | "tensor-out-of-file"
  | "tensor-size-mismatch"
  | "tensor-overlap"
  | "tensor-gap"
  | "index-invalid"
  | "shard-missing"
  | "tensor-absent"
  | "tensor-shape"
  | "tensor-dtype";

/** A checkpoint that is malformed, incomplete, or does not fit the model. */
export class WeightsError extends PhdcError {
  override readonly name = "WeightsError";
  declare readonly code: WeightsErrorCode;

  constructor(code: WeightsErrorCode, message: string, extras: ErrorExtras = {}) {
    super(code, message, extras);
  }
}

/** A tokenizer that cannot be read, or text that it cannot encode. */
export class TokenizerError extends PhdcError {
  override readonly name = "TokenizerError";
}

/** A file or folder that cannot be written where it was asked for. */
export class OutputError extends PhdcError {
  override readonly name = "OutputError";
}

/** No WebGPU adapter of the kind that was asked for. */
export class NoAdapter extends PhdcError {
  override readonly name = "NoAdapter";

  constructor(message: string, extras: ErrorExtras = {}) {
    super("no-adapter", message, extras);
  }
}

/** The device went away (driver reset, unplugged, destroyed). The session is over; a new one on a new device works. */
export class DeviceLost extends PhdcError {
  override readonly name = "DeviceLost";

  constructor(message: string, extras: ErrorExtras = {}) {
    super("device-lost", message, extras);
  }
}

/** The device refused a command as invalid: a bug in a kernel, a manifest or a driver. */
export class DeviceError extends PhdcError {
  override readonly name = "DeviceError";

  constructor(message: string, extras: ErrorExtras = {}) {
    super("device-error", message, extras);
  }
}

/** The adapter lacks a feature, or offers less of a limit than the kernels need. */
export class MissingFeature extends PhdcError {
  override readonly name = "MissingFeature";

  constructor(message: string, extras: ErrorExtras = {}) {
    super("missing-feature", message, extras);
  }
}

/** The device has not the memory; known before weights load wherever a limit tells, else when the device refuses an allocation. */
export class OutOfMemory extends PhdcError {
  override readonly name = "OutOfMemory";

  constructor(message: string, extras: ErrorExtras = {}) {
    super("out-of-memory", message, extras);
  }
}

/** A sequence reached the positions that its caches hold. */
export class ContextFull extends PhdcError {
  override readonly name = "ContextFull";

  constructor(context: number, needed: number) {
    super("context-full", `the context holds ${context} positions and ${needed} are needed`, {
      details: { context, needed },
      hint: "Open the session with a larger context.",
    });
  }
}

/** A manifest that does not say what a manifest must say. */
export class ManifestError extends PhdcError {
  override readonly name = "ManifestError";

  /** `path` is the place in the manifest, as in `phases.decode.steps[3].kernel`. */
  constructor(path: string, message: string, extras: ErrorExtras = {}) {
    super("manifest-invalid", `${path}: ${message}`, { ...extras, details: { path, ...extras.details } });
  }
}

/** A request that the caller got wrong: an empty prompt, a token id outside the vocabulary, a sequence that does not exist. */
export class RequestError extends PhdcError {
  override readonly name = "RequestError";

  constructor(message: string, extras: ErrorExtras = {}) {
    super("request-invalid", message, extras);
  }
}
