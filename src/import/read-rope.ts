/** Rotary embedding as `config.json` describes it: the older `rope_theta` with `rope_scaling`, and the newer `rope_parameters`. */
import { importDiagnostics } from "../diagnostics/catalogue-import.js";
import { label } from "../diagnostics/define.js";
import { type ConfigReader, positionCount } from "./config-reader.js";
import type { RopeConfig, RopeScaling } from "./model-config.js";

const scalings = ["default", "linear", "llama3"];
/** Every architecture's default where no base is given. */
const usualTheta = 10_000;

/** Reads all keys about rotary embedding. Undefined after an error, which has been reported. */
export function readRope(config: ConfigReader): RopeConfig | undefined {
  const errorsBefore = config.collector.diagnostics.length;
  const oldTheta = config.number("rope_theta", { above: 0 });
  readPartialFactor(config);
  const oldScaling = config.child("rope_scaling");
  const parameters = config.child("rope_parameters");

  if (parameters !== undefined && oldScaling !== undefined) {
    config.collector.add(
      importDiagnostics.saidTwice(
        {
          first: "rope_parameters",
          firstValue: "one thing",
          second: "rope_scaling",
          secondValue: "another; only one of them can hold",
        },
        label(oldScaling.object.span),
        label(parameters.object.span, "the newer form"),
      ),
    );
  }
  const newTheta = parameters?.number("rope_theta", { above: 0 });
  if (parameters !== undefined && oldTheta !== undefined && newTheta !== undefined && oldTheta !== newTheta) {
    config.collector.add(
      importDiagnostics.saidTwice(
        {
          first: "rope_theta",
          firstValue: String(oldTheta),
          second: "rope_parameters.rope_theta",
          secondValue: String(newTheta),
        },
        label(config.place("rope_theta")),
        label(parameters.place("rope_theta"), "the newer form"),
      ),
    );
  }
  if (parameters !== undefined) readPartialFactor(parameters);

  const section = parameters ?? oldScaling;
  const scaling = section === undefined ? ({ kind: "none" } as const) : readScaling(section, section === oldScaling);
  if (scaling === undefined || config.collector.diagnostics.length > errorsBefore) return undefined;
  return { theta: newTheta ?? oldTheta ?? usualTheta, scaling };
}

/** `typeRequired`: an old `rope_scaling` without a type says nothing; new `rope_parameters` without one mean no scaling. */
function readScaling(section: ConfigReader, typeRequired: boolean): RopeScaling | undefined {
  const newer = section.string("rope_type");
  const older = section.string("type");
  if (newer !== undefined && older !== undefined && newer !== older) {
    section.collector.add(
      importDiagnostics.saidTwice(
        { first: "rope_type", firstValue: `"${newer}"`, second: "type", secondValue: `"${older}"` },
        label(section.place("rope_type")),
        label(section.place("type"), "the older key"),
      ),
    );
  }
  const type = newer ?? older ?? (typeRequired ? section.requiredString("rope_type") : "default");
  if (type === undefined) return undefined;
  if (!scalings.includes(type)) {
    const place = section.place(newer === undefined ? "type" : "rope_type");
    section.collector.add(importDiagnostics.ropeTypeUnsupported({ name: type, known: scalings }, label(place)));
    return undefined;
  }
  const scaling =
    type === "linear" ? readLinear(section) : type === "llama3" ? readLlama3(section) : { kind: "none" as const };
  section.reportUnread();
  return scaling;
}

function readLinear(section: ConfigReader): RopeScaling | undefined {
  const factor = section.requiredNumber("factor", { min: 1 });
  return factor === undefined ? undefined : { kind: "linear", factor };
}

function readLlama3(section: ConfigReader): RopeScaling | undefined {
  const factor = section.requiredNumber("factor", { min: 1 });
  const lowFactor = section.requiredNumber("low_freq_factor", { above: 0 });
  // The two factors bound a band that is blended over; it must have a width.
  const highFactor = section.requiredNumber("high_freq_factor", { above: lowFactor ?? 0 });
  const originalPositions = section.requiredNumber("original_max_position_embeddings", positionCount);
  if (factor === undefined || lowFactor === undefined || highFactor === undefined || originalPositions === undefined) {
    return undefined;
  }
  return { kind: "llama3", factor, lowFactor, highFactor, originalPositions };
}

/** RoPE over a part of each head is another computation; only the whole head is supported. */
function readPartialFactor(section: ConfigReader): void {
  const factor = section.number("partial_rotary_factor", { above: 0 });
  if (factor !== undefined && factor !== 1) {
    section.collector.add(
      importDiagnostics.mustBe(
        { key: "partial_rotary_factor", value: String(factor), accepted: "1" },
        label(section.place("partial_rotary_factor")),
      ),
    );
  }
}
