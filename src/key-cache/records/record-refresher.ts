import type { SecretFacts } from './key-record.js';
import type { RecordCache } from './record-cache.js';
import type { Lookup, RecordLoader } from './record-loader.js';

/**
 * Most records that are asked for at once. They are read and kept in one turn of the event loop, for which calls wait:
 * fewer than a statement may bring where callers wait for them.
 */
const MOST_AT_ONCE = 100;

/**
 * Reads records anew before they are too old to be used, so that no call waits for a record that is in use. It asks
 * only while nothing else is being looked up; a record that it does not get to, or that the database does not give,
 * ends at its age like any other.
 */
export class RecordRefresher {
  constructor(
    private readonly cache: RecordCache,
    private readonly loader: RecordLoader,
  ) {}

  /** Asks for what is old by now, at most for one statement; gives how many records that were. */
  refresh(): number {
    if (this.loader.stats().waiting > 0) return 0;
    const aging = this.cache.takeAging(MOST_AT_ONCE);
    for (const secret of aging) this.loader.load(lookupOf(secret)).catch(() => undefined);
    return aging.length;
  }
}

/** Under a name of its own where no call looks for it by this one. */
function lookupOf({ kid, kind, mac }: SecretFacts): Lookup {
  return kind === 'own' ? { name: kid, kid } : { name: `refresh:${kid}`, macs: [mac] };
}
