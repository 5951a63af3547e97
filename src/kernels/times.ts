/** `length` things made one after the other: how kernels write out what they do per row, column or matrix. */
export function times<T>(length: number, make: (index: number) => T): T[] {
  return Array.from({ length }, (_, index) => make(index));
}
