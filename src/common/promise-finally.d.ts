/**
 * `finally` waits for the promise that its callback gives. TypeScript's library says that the callback gives
 * nothing, so that the rule no-misused-promises would refuse `.finally(() => file.close())`.
 */
interface Promise<T> {
  finally(onfinally?: (() => PromiseLike<unknown>) | null): Promise<T>;
}
