import { DomainError } from '../common/domain-error.js';

/** A name of ours, whatever stands for its hyphens. */
const OURS = /^x[^a-z0-9]latchkey[^a-z0-9]/i;

const LETTER_X = 0x78;
const TO_LOWER_CASE = 0x20;

/**
 * The refusal of a request that has a header of ours in another spelling, or null. Servers of the CGI family (WSGI,
 * Rack, PHP) hand `X_Latchkey_Owner_Id` to a service under the name of `X-Latchkey-Owner-Id`, and a proxy that removes
 * or overwrites the one leaves the other. Exact are the spelling of the documentation and, for HTTP/2, lower case.
 *
 * @see docs/gateways: the exact ones are the gateway's to remove or to overwrite
 */
export function misspelledIdentity(rawHeaders: readonly string[]): DomainError | null {
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    if ((name.charCodeAt(0) | TO_LOWER_CASE) === LETTER_X && OURS.test(name) && !isExact(name)) return misspelled();
  }
  return null;
}

function isExact(name: string): boolean {
  const lower = name.toLowerCase();
  return (
    /^[a-z0-9-]+$/.test(lower) &&
    (name === lower || name === lower.replace(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase()))
  );
}

/** The name is not repeated: it is the client's text. */
function misspelled(): DomainError {
  return new DomainError(
    'invalid',
    'VALIDATION_FAILED',
    'A header is named like X-Latchkey-… in another spelling, which a service may take for ours: do not send it.',
    { errors: [{ path: 'headers', message: 'must not contain X-Latchkey-… in another spelling' }] },
  );
}
