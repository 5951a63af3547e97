/** What an adapter is and offers, as plain data: for `doctor`, for reports, and for choosing kernels. */
export interface AdapterDescription {
  /** One line for people: `SwiftShader driver 5.0.0 (google, swiftshader)`. */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** It computes on the CPU: right results, and times that say nothing about a GPU. */
  readonly software: boolean;
  readonly subgroupSizes?: readonly [least: number, greatest: number];
  /** In alphabetical order. */
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** Drivers that compute on the CPU without saying so in `isFallbackAdapter`. */
const softwareDrivers = /swiftshader|llvmpipe|lavapipe|softpipe|basic render/i;

export function describeAdapter(adapter: GPUAdapter): AdapterDescription {
  const info: GPUAdapterInfo & { readonly isFallbackAdapter?: boolean } = adapter.info;
  const { vendor, architecture, device, description } = info;
  const origin = [vendor, architecture].filter((word) => word !== "").join(", ");
  const name = description || device || "unnamed adapter";
  const { subgroupMinSize: least, subgroupMaxSize: greatest } = info;
  return {
    name: origin === "" ? name : `${name} (${origin})`,
    vendor,
    architecture,
    device,
    description,
    software: info.isFallbackAdapter === true || softwareDrivers.test(`${architecture} ${device} ${description}`),
    ...(least && greatest ? { subgroupSizes: [least, greatest] as const } : {}),
    features: [...adapter.features].sort(),
    limits: limitsOf(adapter.limits),
  };
}

/** Limits live on the prototype, so they are read by `in`, not by own keys. */
function limitsOf(limits: GPUSupportedLimits): Record<string, number> {
  const record: Record<string, number> = {};
  for (const name in limits) {
    const value = (limits as unknown as Record<string, unknown>)[name];
    if (typeof value === "number") record[name] = value;
  }
  return record;
}
