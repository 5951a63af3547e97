/**
 * PHD07xx: devices that are missing, too small or lost, and limits met while a model runs.
 *
 * The run time throws these as typed errors, whose `code` is the name of the entry here in kebab case; their message and hint come with
 * them. `from-error.ts` brings the two together.
 */
import { defineDiagnostics, type ReportedError } from "./define.js";

export const deviceDiagnostics = defineDiagnostics({
  noAdapter: {
    code: "PHD0701",
    title: "There is no WebGPU adapter",
    explanation:
      "No adapter of the kind that was asked for was found: no GPU with a driver, and no software adapter. `phdc doctor` says what was tried.",
    example: "phdc run model.phd --weights model --prompt ROMEO --device webgpu",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  deviceLost: {
    code: "PHD0702",
    title: "The device was lost",
    explanation:
      "The driver was reset, the GPU unplugged or the device closed. The session is over; a new one on a new device works.",
    example: "a kernel that runs longer than the driver allows",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  deviceError: {
    code: "PHD0703",
    title: "The device refused a command",
    explanation:
      "The device found a command or a kernel invalid. That is a mistake of phdc or of the driver; the message says which kernel.",
    example: "a driver that cannot compile a kernel",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  missingFeature: {
    code: "PHD0704",
    title: "The device lacks something that the kernels need",
    explanation: "The package was compiled for a feature or a limit that this device does not offer.",
    example: "phdc run model.phd --weights model --prompt ROMEO --dtype f16",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  outOfMemory: {
    code: "PHD0705",
    title: "The device has not the memory",
    explanation:
      "Weights, caches and working buffers together, or one of them alone, exceed what the device can give. Most of it is known before any weight is read.",
    example: "phdc run model.phd --weights model --prompt ROMEO --context 1000000",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  contextFull: {
    code: "PHD0706",
    title: "The context is full",
    explanation: "A sequence has reached the number of positions that its caches hold.",
    example: "phdc run model.phd --weights model --prompt ROMEO --context 8 --max-tokens 20",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  requestInvalid: {
    code: "PHD0707",
    title: "A request cannot be carried out",
    explanation: "A prompt without tokens, an id outside of the vocabulary, a sampling parameter out of range.",
    example: 'phdc run shakespeare.phd --weights shakespeare --prompt ""',
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
});
