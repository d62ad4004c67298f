/** Tries until the fact holds; after `withinMs` its last failure is the test's. Gives the milliseconds it took. */
export async function eventually(fact: () => Promise<void> | void, withinMs = 3_000): Promise<number> {
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
