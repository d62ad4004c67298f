import { sizeOf } from './size-of.js';

/** An entry of the map of parts. */
const PART_BYTES = 64;

interface Use {
  holders: number;
  readonly bytes: number;
}

/** The memory of what several things have in common, each part counted once for as long as one thing holds it. */
export class SharedParts {
  private readonly uses = new Map<object, Use>();
  private held = 0;

  /** Estimated bytes of all parts that are held. */
  get bytes(): number {
    return this.held;
  }

  hold(parts: readonly object[]): void {
    for (const part of parts) {
      const use = this.uses.get(part);
      if (use !== undefined) {
        use.holders += 1;
        continue;
      }
      const bytes = PART_BYTES + sizeOf(part);
      this.uses.set(part, { holders: 1, bytes });
      this.held += bytes;
    }
  }

  release(parts: readonly object[]): void {
    for (const part of parts) {
      const use = this.uses.get(part);
      if (use === undefined) continue;
      use.holders -= 1;
      if (use.holders > 0) continue;
      this.uses.delete(part);
      this.held -= use.bytes;
    }
  }
}
