import { CONSOLE_PATH } from '../../http/console.js';

/** A cookie holds 4 KB, and the address is in it. */
const MAX_PATH_CHARACTERS = 1024;

/** Stands for this installation while a path is resolved. */
const ORIGIN = 'https://console.invalid';

/**
 * Whether `value` leads into the console and nowhere else once a browser has resolved it: `//host`, a backslash or
 * `..` do not get out, so that a sign-in never ends at another site.
 *
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Unvalidated_Redirects_and_Forwards_Cheat_Sheet.html
 */
export function isConsolePath(value: unknown): value is string {
  if (
    typeof value !== 'string' ||
    value.length > MAX_PATH_CHARACTERS ||
    !value.startsWith(CONSOLE_PATH) ||
    !URL.canParse(value, ORIGIN)
  )
    return false;
  const { origin, pathname } = new URL(value, ORIGIN);
  return origin === ORIGIN && (pathname === CONSOLE_PATH || pathname.startsWith(`${CONSOLE_PATH}/`));
}

/** The address of a path of the console, as it is written into `Location`: control characters and `..` are resolved. */
export function consoleAddress(publicUrl: string, path: string): string {
  const { pathname, search, hash } = new URL(path, ORIGIN);
  return `${publicUrl}${pathname}${search}${hash}`;
}
