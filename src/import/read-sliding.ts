/** Sliding-window attention of the base model: honoured where the architecture defines it, refused elsewhere, never ignored. */
import { importDiagnostics } from "../diagnostics/catalogue-import.js";
import { label } from "../diagnostics/define.js";
import { type ConfigReader, positionCount } from "./config-reader.js";
import type { Architecture, SlidingConfig } from "./model-config.js";

/** The architectures whose definition has a window, and in which `use_sliding_window` switches it on. */
const windowed: readonly Architecture[] = ["qwen2", "qwen3"];
/** First layer with a window where the key is absent. */
const usualWindowLayers = 28;

/** Reads `sliding_window`, `use_sliding_window`, `max_window_layers` and `layer_types`; reports what does not fit. */
export function readSliding(
  config: ConfigReader,
  architecture: Architecture,
  layers: number | undefined,
): SlidingConfig | undefined {
  const window = config.number("sliding_window", positionCount);
  const used = config.boolean("use_sliding_window") ?? false;
  const firstWindowed = config.number("max_window_layers", { integer: true, min: 0 }) ?? usualWindowLayers;
  const types = readLayerTypes(config, layers);
  const refuse = (reason: string, key: string): undefined => {
    config.collector.add(importDiagnostics.slidingWindowUnsupported({ reason }, label(config.place(key))));
    return undefined;
  };

  if (!windowed.includes(architecture)) {
    if (window !== undefined)
      return refuse(`"sliding_window" is ${window}, but ${architecture} has no sliding window`, "sliding_window");
    if (used) return refuse(`${architecture} has no sliding window`, "use_sliding_window");
    if (types?.includes(true)) return refuse(`${architecture} has no "sliding_attention" layers`, "layer_types");
    return undefined;
  }
  if (!used) {
    if (types?.includes(true)) {
      return refuse(`"layer_types" has "sliding_attention", but "use_sliding_window" is not true`, "layer_types");
    }
    return undefined;
  }
  if (layers === undefined) return undefined;
  const windows = types ?? Array.from({ length: layers }, (_, layer) => layer >= firstWindowed);
  if (!windows.includes(true)) return undefined;
  if (window === undefined)
    return refuse(`"use_sliding_window" is true, but "sliding_window" is not given`, "use_sliding_window");
  return { window, layers: windows };
}

/** Per layer, whether it is windowed. */
function readLayerTypes(config: ConfigReader, layers: number | undefined): readonly boolean[] | undefined {
  const types = config.strings("layer_types");
  if (types === undefined) return undefined;
  const wrong = types.find(({ value }) => value !== "full_attention" && value !== "sliding_attention");
  if (wrong !== undefined) {
    const reason = `The layer type "${wrong.value}" is not understood; a layer may be "full_attention" or "sliding_attention"`;
    config.collector.add(importDiagnostics.layerTypesWrong({ reason }, label(wrong.span)));
    return undefined;
  }
  if (layers !== undefined && types.length !== layers) {
    const reason = `"layer_types" has ${types.length} entries for ${layers} layers`;
    config.collector.add(
      importDiagnostics.layerTypesWrong(
        { reason },
        label(config.place("layer_types")),
        label(config.place("num_hidden_layers"), "the number of layers"),
      ),
    );
    return undefined;
  }
  return types.map(({ value }) => value === "sliding_attention");
}
