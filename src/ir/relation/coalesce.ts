/**
 * Unions in fewer disjuncts: `k.pos < q.pos ∪ k.pos = q.pos` is `k.pos <= q.pos`.
 *
 * Two disjuncts A and B become one where the conjunction H of those constraints of either that hold for both has no point outside
 * A ∪ B. Every test is an exact integer test, so the union never changes.
 */

import { areFeasible, type Conjunct, conjunct, opposites } from "./conjunct.js";
import { boundsOf, type Constraint } from "./constraint.js";
import { Premises } from "./premises.js";
import { simplifyConjunct } from "./simplify.js";

export function coalesce(set: readonly Conjunct[], context: readonly Constraint[] = []): Conjunct[] {
  const parts = [...set];
  for (let changed = true; changed; ) {
    changed = false;
    search: for (let i = 0; i < parts.length; i++) {
      for (let j = i + 1; j < parts.length; j++) {
        const merged = merge(parts[i]!, parts[j]!, context);
        if (merged === undefined) continue;
        parts.splice(j, 1);
        parts.splice(i, 1, merged);
        changed = true;
        break search;
      }
    }
  }
  return parts;
}

function merge(a: Conjunct, b: Conjunct, context: readonly Constraint[]): Conjunct | undefined {
  const boundsOfA = a.constraints.flatMap(boundsOf);
  const boundsOfB = b.constraints.flatMap(boundsOf);
  const knowingA = new Premises(a.constraints, context, boundsOfB);
  const sharedOfB = boundsOfB.filter((constraint) => knowingA.imply(constraint));
  if (sharedOfB.length === boundsOfB.length) return b;
  const knowingB = new Premises(b.constraints, context, boundsOfA);
  const sharedOfA = boundsOfA.filter((constraint) => knowingB.imply(constraint));
  if (sharedOfA.length === boundsOfA.length) return a;
  const hull = conjunct([sharedOfA, sharedOfB]);
  if (hull === undefined) return undefined;
  const onlyA = boundsOfA.filter((constraint) => !sharedOfA.includes(constraint));
  const onlyB = boundsOfB.filter((constraint) => !sharedOfB.includes(constraint));
  // A point of H outside both breaks one constraint of A and one of B.
  const covered = onlyA.every((ofA) =>
    onlyB.every((ofB) =>
      opposites(ofA).every((notA) =>
        opposites(ofB).every((notB) => !areFeasible(hull.constraints, notA, notB, context)),
      ),
    ),
  );
  return covered ? simplifyConjunct(hull, context) : undefined;
}
