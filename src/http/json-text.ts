import { isAscii } from 'node:buffer';
import type { FieldError } from '../common/domain-error.js';

/** Deeper nesting than any request of ours; a bound, so that nothing behind it recurses without one. */
const MAX_DEPTH = 32;

/**
 * Names that every object has already: through some of them a careless merge reaches a prototype, and class-transformer
 * overlooks all of them, so that the check for unknown fields would never see them.
 */
const POISONOUS = new Set(['prototype', ...Object.getOwnPropertyNames(Object.prototype)]);

/** Skips a byte order mark, which tools of Windows write before a text. */
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** JSON that was read, or every reason why it is refused; reasons name the place by `path`. */
export type JsonReading = { readonly value: unknown } | { readonly errors: readonly FieldError[] };

/**
 * Reads JSON more strictly than `JSON.parse`, so that nobody before or behind us can read it differently: bytes that
 * are no UTF-8, a name twice in one object, prototype names, NUL, lone surrogates and nesting
 * deeper than 32 are refused. One byte order mark before the text is skipped. Takes time linear in the length; never
 * throws.
 *
 * @see RFC 8259, sections 4, 8.1 and 8.2
 */
export function readJson(bytes: Buffer): JsonReading {
  let text: string;
  try {
    text = isAscii(bytes) ? bytes.toString('latin1') : UTF8.decode(bytes);
  } catch {
    return refused('', 'the body must be UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refused('', 'the body must be one JSON value');
  }
  if (!text.includes('\\') && isPlain(text, value)) return { value };
  const error = new JsonScan(text).problem();
  return error ? { errors: [error] } : { value };
}

/**
 * Whether nothing is wrong with a text without escapes, as with nearly every body: told without an object for it. A
 * name that is given twice is in the text twice and in the value once, so the text has as many names as the value
 * exactly where no object has one twice.
 */
function isPlain(text: string, value: unknown): boolean {
  return namesOf(value, MAX_DEPTH) === namesIn(text);
}

/** How many names the objects of a value have; NaN: one of them is refused, or the nesting is deeper than `levels`. */
function namesOf(value: unknown, levels: number): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (levels === 0) return Number.NaN;
  let names = 0;
  if (Array.isArray(value)) {
    for (const member of value) names += namesOf(member, levels - 1);
    return names;
  }
  for (const name in value) {
    if (POISONOUS.has(name)) return Number.NaN;
    names += 1 + namesOf((value as Record<string, unknown>)[name], levels - 1);
  }
  return names;
}

/** How many names are in JSON without escapes: strings that a colon follows. */
function namesIn(text: string): number {
  let names = 0;
  for (let quote = text.indexOf('"'); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    quote = text.indexOf('"', quote + 1);
    let next = quote + 1;
    while (isSpace(text.charCodeAt(next))) next += 1;
    if (text.charCodeAt(next) === 0x3a) names += 1;
  }
  return names;
}

/** Whether JSON allows it between two tokens. */
function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function refused(path: string, message: string): JsonReading {
  return { errors: [{ path, message }] };
}

interface Level {
  /** Names seen so far; null for a list. */
  readonly names: Set<string> | null;
  /** The member or index that is being read. */
  key: string | number;
}

/** One pass over text that `JSON.parse` accepted: it only has to tell strings, brackets and commas apart. */
class JsonScan {
  private readonly levels: Level[] = [];
  private readonly hasEscapes: boolean;
  private position = 0;

  constructor(private readonly text: string) {
    this.hasEscapes = text.includes('\\');
  }

  /** The first thing that is wrong, or null. */
  problem(): FieldError | null {
    let isName = false;
    for (; this.position < this.text.length; this.position += 1) {
      const level = this.levels.at(-1);
      switch (this.text.charCodeAt(this.position)) {
        case 0x7b: // {
        case 0x5b: // [
          if (this.levels.length === MAX_DEPTH) return this.error(`must not be nested deeper than ${MAX_DEPTH}`);
          isName = this.text[this.position] === '{';
          this.levels.push({ names: isName ? new Set() : null, key: isName ? '' : 0 });
          break;
        case 0x7d: // }
        case 0x5d: // ]
          this.levels.pop();
          break;
        case 0x2c: // ,
          isName = level!.names !== null;
          if (!isName) (level!.key as number) += 1;
          break;
        case 0x22: {
          const wrong = this.string(isName ? level! : null);
          if (wrong) return wrong;
          isName = false;
          break;
        }
      }
    }
    return null;
  }

  /** Reads the string that begins here; `owner` when it is a member's name. */
  private string(owner: Level | null): FieldError | null {
    const start = this.position;
    const escaped = this.toEndOfString();
    const raw = this.text.slice(start + 1, this.position);
    const content = escaped ? (JSON.parse(`"${raw}"`) as string) : raw;
    if (owner) {
      const isNew = !owner.names!.has(content);
      owner.names!.add(content);
      owner.key = content.isWellFormed() ? content.slice(0, 100) : '?';
      if (!isNew) return this.error('must not be given twice');
      if (POISONOUS.has(content)) return this.error('is not a name a request may use');
    }
    if (escaped && content.includes('\0')) return this.error('must not contain NUL');
    if (escaped && !content.isWellFormed()) return this.error('must not contain half a surrogate pair');
    return null;
  }

  /** Moves from a string's first quote to its last; tells whether anything in it is escaped. */
  private toEndOfString(): boolean {
    if (!this.hasEscapes) {
      this.position = this.text.indexOf('"', this.position + 1);
      return false;
    }
    let escaped = false;
    for (this.position += 1; this.text.charCodeAt(this.position) !== 0x22; this.position += 1) {
      if (this.text.charCodeAt(this.position) !== 0x5c) continue;
      escaped = true;
      this.position += 1;
    }
    return escaped;
  }

  private error(message: string): FieldError {
    return { path: this.levels.map(({ key }) => String(key)).join('.'), message };
  }
}
