// Of V8 on 64 bits without compressed pointers; a test compares their sum with what the heap grows by.
const OBJECT_BYTES = 24;
const ARRAY_BYTES = 48;
const SLOT_BYTES = 8;
const TEXT_BYTES = 16;
const BIGINT_BYTES = 24;
const BOXED_NUMBER_BYTES = 16;
const BUFFER_BYTES = 112;
/** The parser of JSON keeps one copy of texts up to this length. */
const MAX_INTERNED_CHARACTERS = 10;
const MAX_SMALL_INTEGER = 2 ** 31;

/** Estimates what plain data takes in memory, in bytes, without what is in `except`: it is counted elsewhere. */
export function sizeOf(value: unknown, except: readonly unknown[] = []): number {
  if (except.includes(value)) return 0;
  if (typeof value === 'string') return sizeOfText(value);
  if (typeof value === 'bigint') return BIGINT_BYTES;
  if (typeof value === 'number') return isBoxed(value) ? BOXED_NUMBER_BYTES : 0;
  if (value === null || typeof value !== 'object') return 0;
  if (Buffer.isBuffer(value)) return BUFFER_BYTES + value.length;
  const members: unknown[] = Object.values(value);
  const bytes = Array.isArray(value) ? ARRAY_BYTES : OBJECT_BYTES;
  return members.reduce<number>((sum, member) => sum + SLOT_BYTES + sizeOf(member, except), bytes);
}

function sizeOfText({ length }: string): number {
  return length <= MAX_INTERNED_CHARACTERS ? 0 : TEXT_BYTES + Math.ceil(length / SLOT_BYTES) * SLOT_BYTES;
}

function isBoxed(value: number): boolean {
  return !Number.isInteger(value) || Math.abs(value) >= MAX_SMALL_INTEGER;
}
