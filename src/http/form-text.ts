import type { FieldError } from '../common/domain-error.js';
import type { JsonReading } from './json-text.js';

/** More parameters than any form of ours has; a bound, so that a form cannot make many. */
const MAX_PARAMETERS = 32;
/** Skips a byte order mark, which tools of Windows write before a text. */
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a form (`application/x-www-form-urlencoded`) into texts by name. As strict as OAuth asks: bytes that are no
 * UTF-8, broken percent-encoding, NUL and a parameter given twice are refused, so that nobody in front of us can read
 * it differently. Parameters without a name are left out, and so are empty ones. Never throws.
 *
 * @see RFC 6749, appendix B and section 3.1
 */
export function readForm(bytes: Buffer): JsonReading {
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    return refused('', 'the body must be UTF-8');
  }
  const parts = text.split('&', MAX_PARAMETERS + 1);
  if (parts.length > MAX_PARAMETERS)
    return refused('', `the body must not have more than ${MAX_PARAMETERS} parameters`);
  const values = new Map<string, string>();
  for (const part of parts) {
    const equals = part.indexOf('=');
    const name = decoded(equals === -1 ? part : part.slice(0, equals));
    const value = decoded(equals === -1 ? '' : part.slice(equals + 1));
    if (name === null || value === null) return refused('', 'the body must be a form in percent-encoded UTF-8');
    if (name === '' || value === '') continue;
    if (values.has(name)) return refused(name.slice(0, 100), 'must not be given twice');
    values.set(name, value);
  }
  // Without a prototype, so that no name of a parameter means anything but itself.
  return { value: Object.assign(Object.create(null) as object, Object.fromEntries(values)) };
}

/** null for broken percent-encoding, and for NUL. */
function decoded(text: string): string | null {
  try {
    const value = decodeURIComponent(text.replaceAll('+', ' '));
    return value.includes('\0') ? null : value;
  } catch {
    return null;
  }
}

function refused(path: string, message: string): { errors: readonly FieldError[] } {
  return { errors: [{ path, message }] };
}
