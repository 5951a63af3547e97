/**
 * One simple conjunct around a set: what an analysis goes on with when the exact set has become too complicated.
 */
import { type Conjunct, conjunct } from "./conjunct.js";
import { boundsOf, type Constraint } from "./constraint.js";
import type { IntegerSet } from "./integer-set.js";
import { Premises } from "./premises.js";
import { linearHull } from "./project.js";
import { simplifyConjunct } from "./simplify.js";

/** Contains the set; its bounds of the variable are those of some disjunct that hold for all of them. Nothing for an empty set. */
export function hullOf(set: IntegerSet, name: string, context: readonly Constraint[] = []): IntegerSet {
  const parts = set.map((part) => linearHull(part, name)).filter((part) => part !== undefined);
  const [first, ...others] = parts.map(withoutNestedFloors);
  if (first === undefined) return [];
  const hull = others.reduce<Conjunct>((a, b) => around(a, b, context), first);
  const simple = simplifyConjunct(hull, context);
  return simple === undefined ? [] : [simple];
}

/** Quotients of quotients are what makes later steps costly. */
function withoutNestedFloors(part: Conjunct): Conjunct {
  const isSimple = ({ form }: Constraint) =>
    form.terms.every(
      ({ atom }) => atom.kind === "variable" || atom.numerator.terms.every((term) => term.atom.kind === "variable"),
    );
  return part.constraints.every(isSimple) ? part : listed(part.constraints.filter(isSimple));
}

/** The constraints of either that hold for both. */
function around(a: Conjunct, b: Conjunct, context: readonly Constraint[]): Conjunct {
  const ofA = a.constraints.flatMap(boundsOf);
  const ofB = b.constraints.flatMap(boundsOf);
  const knowingA = new Premises(a.constraints, context, ofB);
  const knowingB = new Premises(b.constraints, context, ofA);
  return listed([
    ...ofA.filter((constraint) => knowingB.imply(constraint)),
    ...ofB.filter((constraint) => knowingA.imply(constraint)),
  ]);
}

/** Constraints that are known to have a point in common. */
const listed = (constraints: readonly Constraint[]): Conjunct => conjunct([constraints]) ?? { constraints, key: "" };
