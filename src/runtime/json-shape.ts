/**
 * Checks that JSON from outside has the shape that a type promises. A check gives its value back, typed, or throws a ManifestError that
 * names the place.
 */
import { ManifestError } from "./errors.js";

export type Check<T> = (value: unknown, path: string) => T;

/** What stands at a place, in a few words. */
function describe(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

function mustBe(path: string, what: string, value: unknown): ManifestError {
  return new ManifestError(path, `must be ${what}, and is ${describe(value)}`);
}

export const text: Check<string> = (value, path) => {
  if (typeof value !== "string") throw mustBe(path, "text", value);
  return value;
};

export const truth: Check<boolean> = (value, path) => {
  if (typeof value !== "boolean") throw mustBe(path, "true or false", value);
  return value;
};

export const finite: Check<number> = (value, path) => {
  if (typeof value !== "number" || !Number.isFinite(value)) throw mustBe(path, "a number", value);
  return value;
};

export function integer(least: number, greatest = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, path) => {
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= greatest)
      return value as number;
    const range = greatest === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${greatest}`;
    throw mustBe(path, `a whole number ${range}`, value);
  };
}

export function oneOf<const T extends string | number>(...values: readonly T[]): Check<T> {
  return (value, path) => {
    if (!values.includes(value as T))
      throw mustBe(path, values.map((each) => JSON.stringify(each)).join(" or "), value);
    return value as T;
  };
}

/** A list, of exactly `length` entries where that is given. */
export function list<T>(check: Check<T>, length?: number): Check<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw mustBe(path, "a list", value);
    if (length !== undefined && value.length !== length) throw mustBe(path, `a list of ${length}`, value);
    return value.map((entry, index) => check(entry, `${path}[${index}]`));
  };
}

/** Any names, each with a value of the same kind. */
export function record<T>(check: Check<T>): Check<Record<string, T>> {
  return (value, path) => {
    const entries = Object.entries(asObject(value, path));
    return Object.fromEntries(entries.map(([key, entry]) => [key, check(entry, `${path}.${key}`)]));
  };
}

export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, path) => (value === undefined ? undefined : check(value, path));
}

/** An object with these fields. Fields that are not named stay unchecked. */
export function object<T extends object>(fields: { readonly [K in keyof T]-?: Check<T[K]> }): Check<T> {
  return (value, path) => {
    const from = asObject(value, path);
    for (const name of Object.keys(fields) as (keyof T & string)[]) {
      fields[name](Object.hasOwn(from, name) ? from[name] : undefined, path === "" ? name : `${path}.${name}`);
    }
    return value as T;
  };
}

/** An object whose `kind` decides its fields. */
export function byKind<T extends { readonly kind: string }>(
  kinds: {
    readonly [K in T["kind"]]: Check<Extract<T, { readonly kind: K }>>;
  },
): Check<T> {
  return (value, path) => {
    const { kind } = asObject(value, path);
    if (typeof kind !== "string" || !Object.hasOwn(kinds, kind)) {
      throw mustBe(`${path}.kind`, Object.keys(kinds).join(" or "), kind);
    }
    return kinds[kind as T["kind"]](value, path) as T;
  };
}

function asObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw mustBe(path || "the manifest", "an object", value);
  return value as Record<string, unknown>;
}
