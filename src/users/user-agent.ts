/** Longest text that is kept of a client that is no browser we know. */
const MAX_CHARACTERS = 60;

/** In order: a later one's name is in the text of an earlier one. */
const BROWSERS: readonly (readonly [name: string, version: RegExp])[] = [
  ['Edge', /\bEdgi?A?(?:OS)?\/(\d+)/],
  ['Opera', /\bOPR\/(\d+)/],
  ['Firefox', /\b(?:Firefox|FxiOS)\/(\d+)/],
  ['Chrome', /\b(?:HeadlessChrome|Chrome|CriOS)\/(\d+)/],
  ['Safari', /\bVersion\/(\d+)[\d.]* (?:Mobile\/\w+ )?Safari\//],
];

const SYSTEMS: readonly (readonly [name: string, mark: RegExp])[] = [
  ['Android', /\bAndroid\b/],
  ['iOS', /\b(?:iPhone|iPad|iPod)\b/],
  ['Windows', /\bWindows\b/],
  ['macOS', /\bMacintosh\b/],
  ['ChromeOS', /\bCrOS\b/],
  ['Linux', /\bLinux\b/],
];

/**
 * What a person recognises a device by: `Firefox 140 on Linux`. Of other clients the first product, as `curl/8.5.0`.
 * The header is whatever the client says; no more of it is kept than is shown.
 */
export function deviceOf(userAgent: string | undefined): string | null {
  if (userAgent === undefined) return null;
  const browser = BROWSERS.map(([name, version]) => ({ name, version: version.exec(userAgent)?.[1] })).find(
    ({ version }) => version !== undefined,
  );
  if (browser === undefined)
    return (
      userAgent
        .replace(/[^\x20-\x7e]/g, '')
        .trim()
        .split(' ', 1)[0]!
        .slice(0, MAX_CHARACTERS) || null
    );
  const system = SYSTEMS.find(([, mark]) => mark.test(userAgent))?.[0];
  return `${browser.name} ${browser.version!.slice(0, 4)}${system === undefined ? '' : ` on ${system}`}`;
}
