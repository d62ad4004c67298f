/** Of a MAC this many bytes are used: one for the table, eight as the fingerprint. */
export const FINGERPRINT_BYTES = 9;

const TABLES = 256;
const FIRST_SLOTS = 16;
const WORDS_A_SLOT = 2;
const BYTES_A_SLOT = 8;
/** Beyond it searches in a table get long, and it is doubled. */
const MAX_FILL = 0.75;

/**
 * A set of MACs by the first bytes of each: 8 bytes a MAC in tables that are at most three quarters full, so 11 to 21
 * bytes of memory. Another MAC is taken for a member once in 2⁶⁴ / size. MACs are as random as their key is secret, so
 * nobody can choose those that meet in one place. In 256 tables, each of which grows by itself: with millions of
 * members no single addition takes longer than some milliseconds.
 */
export class Fingerprints {
  private readonly tables: (Table | undefined)[] = Array.from({ length: TABLES });
  private hasAny = false;

  /** As `size === 0`, without counting. */
  get isEmpty(): boolean {
    return !this.hasAny;
  }

  get size(): number {
    return this.tables.reduce((sum, table) => sum + (table?.size ?? 0), 0);
  }

  /** Of the tables, in memory. */
  get bytes(): number {
    return this.tables.reduce((sum, table) => sum + (table?.bytes ?? 0), 0);
  }

  /** Whether it was not there. `mac` has at least `FINGERPRINT_BYTES` bytes. */
  add(mac: Buffer): boolean {
    this.hasAny = true;
    const table = (this.tables[mac[0]!] ??= new Table());
    return table.add(lowOf(mac), mac.readUInt32LE(5));
  }

  has(mac: Buffer): boolean {
    return this.tables[mac[0]!]?.has(lowOf(mac), mac.readUInt32LE(5)) ?? false;
  }
}

/** Open addressing with linear probing; nothing is ever removed. Two zeros are a free slot. */
class Table {
  size = 0;
  private words = new Uint32Array(FIRST_SLOTS * WORDS_A_SLOT);

  get bytes(): number {
    return this.words.length * (BYTES_A_SLOT / WORDS_A_SLOT);
  }

  has(low: number, high: number): boolean {
    return !this.isFree(this.slotOf(low, high));
  }

  add(low: number, high: number): boolean {
    let slot = this.slotOf(low, high);
    if (!this.isFree(slot)) return false;
    if ((this.size + 1) * WORDS_A_SLOT > this.words.length * MAX_FILL) {
      this.grow();
      slot = this.slotOf(low, high);
    }
    this.put(slot, low, high);
    this.size += 1;
    return true;
  }

  /** Where it is, or would be put. */
  private slotOf(low: number, high: number): number {
    const { words } = this;
    const last = words.length - 1;
    // An even index: the first word of a slot.
    let slot = (low << 1) & last;
    while (!this.isFree(slot) && (words[slot] !== low || words[slot + 1] !== high)) slot = (slot + WORDS_A_SLOT) & last;
    return slot;
  }

  private isFree(slot: number): boolean {
    return this.words[slot] === 0 && this.words[slot + 1] === 0;
  }

  private put(slot: number, low: number, high: number): void {
    this.words[slot] = low;
    this.words[slot + 1] = high;
  }

  private grow(): void {
    const { words } = this;
    this.words = new Uint32Array(words.length * 2);
    for (let slot = 0; slot < words.length; slot += WORDS_A_SLOT) {
      const low = words[slot]!;
      const high = words[slot + 1]!;
      if (low !== 0 || high !== 0) this.put(this.slotOf(low, high), low, high);
    }
  }
}

/** The first half of a fingerprint, never 0: a MAC in 2³² shares it with another one. */
function lowOf(mac: Buffer): number {
  return mac.readUInt32LE(1) || 1;
}
