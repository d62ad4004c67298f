/** Known now, or later. What memory knows is given without a promise: a request then waits for nothing. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Goes on with a value as soon as it is known: synchronously where it is known now. `use` is a function that captures
 * nothing; where a request would have to make one, the path that every request takes tells the cases apart itself.
 */
export function whenKnown<T, R>(value: MaybePromise<T>, use: (value: T) => R): MaybePromise<R> {
  return value instanceof Promise ? value.then(use) : use(value);
}
