/** A machine that is busy with other things needs this long for what takes moments. */
export const PATIENCE_MS = 15_000;

/** Tries until the fact holds; after `withinMs` its last failure is the test's. Gives the milliseconds it took. */
export async function eventually(fact: () => Promise<void> | void, withinMs = PATIENCE_MS): Promise<number> {
  const started = performance.now();
  for (;;) {
    try {
      await fact();
      return performance.now() - started;
    } catch (error) {
      if (performance.now() - started > withinMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
