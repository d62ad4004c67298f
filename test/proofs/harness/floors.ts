import type { Floor } from './experiment.js';

/** At least so much of it must have happened, or the run shows nothing. */
export function floor(what: string, got: number, atLeast: number): Floor {
  return { what, got, atLeast };
}

/** One floor for each kind there is, also for those that never happened. `kinds` must not be empty. */
export function floorsOfKinds<Kind extends string>(
  what: string,
  kinds: readonly Kind[],
  counts: ReadonlyMap<Kind, number>,
  atLeast: number,
): [Floor, ...Floor[]] {
  const [first, ...others] = kinds.map((kind) => floor(`${what} ${kind}`, counts.get(kind) ?? 0, atLeast));
  if (first === undefined) throw new Error(`There is no kind of "${what}".`);
  return [first, ...others];
}

/** What happened less often than it must. A floor of zero, or of a number that is none, is not met. */
export function missedFloors(floors: readonly Floor[]): string[] {
  return floors
    .filter(({ got, atLeast }) => !(atLeast > 0 && got >= atLeast))
    .map(({ what, got, atLeast }) => `nothing was shown: ${what}: ${got}, at least ${atLeast} are needed`);
}

/** Less than so many times a floor is told: a slower machine may miss it. */
const CLOSE = 2;

/** What happened more often than it must, and not much more. What must happen exactly so often is left out. */
export function closeFloors(floors: readonly Floor[]): string[] {
  return floors
    .filter(({ got, atLeast }) => got > atLeast && got < CLOSE * atLeast)
    .map(({ what, got, atLeast }) => `${what}: ${got}, at least ${atLeast} are needed`);
}
