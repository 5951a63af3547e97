/**
 * Sets of integer points as unions of conjuncts (disjunctive normal form), with exact operations.
 *
 * A set has no list of dimensions: variables that its constraints do not mention are unbounded.
 */
import { type Affine, minus, shift } from "./affine.js";
import { coalesce } from "./coalesce.js";
import {
  areFeasible,
  type Conjunct,
  conjunct,
  containsPoint,
  everything,
  implies,
  intersectConjuncts,
  isSubsetOfConjunct,
  opposites,
  substituteConjunct,
} from "./conjunct.js";
import { atLeastZero, type Constraint, equalZero, type Normalized } from "./constraint.js";
import { projectConjunct } from "./project.js";
import { simplifyConjunct } from "./simplify.js";
import { spend } from "./work.js";

export type IntegerSet = readonly Conjunct[];

export const universe: IntegerSet = [everything];
export const nothing: IntegerSet = [];

/** The points that satisfy all constraints. */
export function where(...parts: readonly Normalized[]): IntegerSet {
  const part = conjunct(parts);
  return part === undefined ? [] : [part];
}

/** left <= right, left < right and so on, to be given to `where`. */
export const atMost = (left: Affine, right: Affine): Normalized => atLeastZero(minus(right, left));
export const less = (left: Affine, right: Affine): Normalized => atLeastZero(shift(minus(right, left), -1));
export const equal = (left: Affine, right: Affine): Normalized => equalZero(minus(left, right));

export function union(...sets: readonly IntegerSet[]): IntegerSet {
  const seen = new Map<string, Conjunct>();
  for (const set of sets) for (const part of set) seen.set(part.key, part);
  return [...seen.values()];
}

export function intersect(left: IntegerSet, right: IntegerSet): IntegerSet {
  spend(left.length * right.length);
  const parts = left.flatMap((a) => right.map((b) => intersectConjuncts(a, b)).filter((part) => part !== undefined));
  return union(left.length * right.length > 1 ? parts.filter((part) => areFeasible(part.constraints)) : parts);
}

/** The points of `set` outside `without`. */
export function subtract(set: IntegerSet, without: IntegerSet): IntegerSet {
  return without.reduce<IntegerSet>((left, part) => left.flatMap((a) => subtractConjunct(a, part)), set);
}

function subtractConjunct(from: Conjunct, part: Conjunct): Conjunct[] {
  if (!areFeasible(from.constraints, part.constraints)) return [from];
  const pieces: Conjunct[] = [];
  let rest: Conjunct = from;
  for (const constraint of part.constraints) {
    if (implies(rest, constraint)) continue;
    for (const opposite of opposites(constraint)) {
      const piece = conjunct([rest.constraints, opposite]);
      if (piece !== undefined && areFeasible(piece.constraints)) pieces.push(piece);
    }
    rest = conjunct([rest.constraints, [constraint]]) ?? rest;
  }
  return pieces;
}

export const complement = (set: IntegerSet): IntegerSet => subtract(universe, set);

export const isEmpty = (set: IntegerSet): boolean => set.every((part) => !areFeasible(part.constraints));

export const isSubset = (set: IntegerSet, of: IntegerSet): boolean =>
  set.every((part) => of.some((whole) => isSubsetOfConjunct(part, whole)) || isEmpty(subtract([part], of)));

export const isEqual = (left: IntegerSet, right: IntegerSet): boolean => isSubset(left, right) && isSubset(right, left);

export const areDisjoint = (left: IntegerSet, right: IntegerSet): boolean =>
  left.every((a) => right.every((b) => !areFeasible(a.constraints, b.constraints)));

/** The points for which the named variables have some value in the set: ∃ names. set. Exact. */
export function project(set: IntegerSet, names: readonly string[]): IntegerSet {
  const gone = new Set(names);
  return union(set.flatMap((part) => projectConjunct(part, (name) => gone.has(name))));
}

export function substitute(set: IntegerSet, values: Readonly<Record<string, Affine>>): IntegerSet {
  const map = new Map(Object.entries(values));
  return union(set.map((part) => substituteConjunct(part, map)).filter((part) => part !== undefined));
}

/** The same set in fewer, simpler disjuncts; with a context, equal only at the points of the context. */
export function simplify(set: IntegerSet, context: readonly Constraint[] = []): IntegerSet {
  const parts = set.map((part) => simplifyConjunct(part, context)).filter((part) => part !== undefined);
  return coalesce(union(parts), context);
}

export const contains = (set: IntegerSet, point: Readonly<Record<string, number>>): boolean =>
  set.some((part) => containsPoint(part, point));

/** The constraints of a set that is one conjunct, for use as a context. */
export const contextOf = (...parts: readonly Normalized[]): readonly Constraint[] => conjunct(parts)?.constraints ?? [];

export function printSet(set: IntegerSet): string {
  if (set.length === 0) return "nothing";
  return set.map((part) => (part.key === "" ? "everything" : part.key)).join("\n∨ ");
}
