/** Statements of the kernel IR: structured control flow, memory, and whatever involves other invocations. */
import type { Expression, HalfFormat, Space } from "./expressions.js";
import type { ScalarType, ValueType } from "./types.js";

export type Statement =
  | Let
  | Var
  | Registers
  | Assign
  | Store
  | Atomic
  | If
  | For
  | While
  | Break
  | Barrier
  | UniformLoad
  | Subgroup
  | Mma
  | MatrixLoad
  | AsyncCopy
  | AsyncCommit
  | AsyncWait
  | AwaitPrevious
  | ReleaseNext
  | Prefetch
  | Comment;

/** A value with a name; never assigned again. */
export interface Let {
  readonly kind: "let";
  readonly name: string;
  readonly value: Expression;
}

/** A variable with its first value. */
export interface Var {
  readonly kind: "var";
  readonly name: string;
  readonly value: Expression;
}

/** An array of one invocation, zero at first. Stays in registers when every index is known after unrolling. */
export interface Registers {
  readonly kind: "registers";
  readonly name: string;
  readonly type: ValueType;
  readonly length: number;
}

export interface Assign {
  readonly kind: "assign";
  readonly name: string;
  readonly value: Expression;
}

export interface Store {
  readonly kind: "store";
  readonly space: Space;
  readonly name: string;
  readonly index: Expression;
  readonly value: Expression;
  /** Stores only where this holds. The index and the value are evaluated only there. */
  readonly when?: Expression;
}

/** An atomic update of a u32 in an atomic workgroup array; `result` names the value before it. */
export interface Atomic {
  readonly kind: "atomic";
  readonly op: "add" | "max";
  readonly name: string;
  readonly index: Expression;
  readonly value: Expression;
  readonly result?: string;
}

export interface If {
  readonly kind: "if";
  readonly condition: Expression;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
}

/** Counts `variable` from `start` up to but not including `end` by a positive `step`. All have one integer type. */
export interface For {
  readonly kind: "for";
  readonly variable: string;
  readonly type: ScalarType;
  readonly start: Expression;
  readonly end: Expression;
  readonly step: Expression;
  /** Written out once per iteration; the bounds are then constants. */
  readonly unroll: boolean;
  readonly body: readonly Statement[];
}

export interface While {
  readonly kind: "while";
  readonly condition: Expression;
  /** No invocation goes round more often than this; the interpreter holds the kernel to it. */
  readonly limit: number;
  readonly body: readonly Statement[];
}

/** Leaves the innermost loop; not allowed inside an unrolled one. */
export interface Break {
  readonly kind: "break";
}

/** Waits for the whole workgroup and makes its stores to workgroup memory visible. */
export interface Barrier {
  readonly kind: "barrier";
  /** Makes its stores to device memory visible as well, to this workgroup: nothing orders the workgroups of a dispatch. */
  readonly buffers?: true;
}

/**
 * Reads one element of workgroup memory, the same for all invocations, into `name`, with a barrier before and after.
 * The way to make a value that one invocation computed steer loops that contain barriers.
 */
export interface UniformLoad {
  readonly kind: "uniform-load";
  readonly name: string;
  readonly array: string;
  readonly index: Expression;
  readonly type: ValueType;
}

/**
 * Combines a value over the subgroup and names the result.
 *
 * `add`, `max`, `min`: over all lanes. `broadcast`: the value of lane `operand`. `shuffle-xor`: the value of the lane whose
 * number is this one's XOR `operand`. The operand is a constant. All lanes must take part.
 */
export interface Subgroup {
  readonly kind: "subgroup";
  readonly name: string;
  readonly op: "add" | "max" | "min" | "broadcast" | "shuffle-xor";
  readonly value: Expression;
  readonly operand?: number;
}

/**
 * One product of matrix fragments over a subgroup of 32 lanes: `name` = a × b + c, all of the type of c.
 *
 * Needs the `matrix` capability. `a` is `vec4<u32>`, `b` is `vec2<u32>`, `c` is `vec4<f32>`, laid out over the lanes as
 * fragments.ts says. All lanes must take part.
 */
export interface Mma {
  readonly kind: "mma";
  readonly name: string;
  /** Of a and b. */
  readonly format: HalfFormat;
  readonly a: Expression;
  readonly b: Expression;
  readonly c: Expression;
}

/**
 * Loads two or four 8 × 8 matrices of 16-bit values from workgroup memory into the layout of fragments: `name` is `vec2<u32>` or
 * `vec4<u32>`, one component for each matrix.
 *
 * Needs the `matrix` capability. The array holds `vec4<u32>`, a row of eight values each. Lane `l` says where row `l % 8` of matrix
 * `floor(l / 8)` is; lanes beyond the last matrix are not asked.
 */
export interface MatrixLoad {
  readonly kind: "matrix-load";
  readonly name: string;
  readonly array: string;
  readonly index: Expression;
  readonly matrices: 2 | 4;
  readonly transposed: boolean;
}

/**
 * Starts to copy one element of 4, 8 or 16 bytes from a buffer to a workgroup array of the same type, beside what follows.
 *
 * Needs the `async-copy` capability. The element may be used after an `async-wait` for its group, by other invocations after a
 * barrier behind that. Where `when` does not hold, zeros are stored and the buffer is not touched. Nobody may store to the element of the
 * buffer in the meantime.
 */
export interface AsyncCopy {
  readonly kind: "async-copy";
  readonly array: string;
  readonly index: Expression;
  readonly buffer: string;
  readonly from: Expression;
  readonly when?: Expression;
}

/** Closes the group of copies that this invocation has started since the last one. */
export interface AsyncCommit {
  readonly kind: "async-commit";
}

/** Waits until at most `pending` of this invocation's youngest groups are still under way. */
export interface AsyncWait {
  readonly kind: "async-wait";
  readonly pending: number;
}

/**
 * Waits until the dispatch before this one has ended and what it stored is visible.
 *
 * Needs the `dependent-launch` capability, with which a dispatch may begin while the one before it still runs. What stands before it may
 * read only what no dispatch of a program writes: weights.
 */
export interface AwaitPrevious {
  readonly kind: "await-previous";
}

/**
 * Asks for `count` elements of a buffer from `from` on, all of them there, to be brought near: a hint that changes no result.
 *
 * Needs the `dependent-launch` capability: it is for what a dispatch can ask for before its turn and has no registers for.
 */
export interface Prefetch {
  readonly kind: "prefetch";
  readonly buffer: string;
  readonly from: Expression;
  readonly count: number;
}

/** Lets the next dispatch begin as soon as there is room for it. Needs the `dependent-launch` capability. */
export interface ReleaseNext {
  readonly kind: "release-next";
}

/** A remark for readers of the generated code. */
export interface Comment {
  readonly kind: "comment";
  readonly text: string;
}
