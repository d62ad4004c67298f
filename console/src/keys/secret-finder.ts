/** Base62 characters behind `lk_live_`: the kid, which is public, then the body and the tag, which are not. */
const KID_CHARACTERS = 14;
const TAIL_CHARACTERS = 63;

/** What a pasted text holds of secrets. */
export interface FoundSecret {
  /** Enough to revoke the key with; null: a part alone, or the public start. */
  readonly secret: string | null;
  /** The public start, safe to show and to search by. */
  readonly keyPrefix: string;
}

/** One word of another system's secret: letters and digits, no path and no address. */
const FOREIGN = /^(?!\/)(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9._~+/=-]{8,512}$/;
/** What stands in front of a secret in one line: a header, a variable, a member of JSON, a parameter of a URL. */
const LABELS = /^(?:(?:export|set)\s+)?["']?[\w.-]+["']?\s*[:=]\s*/;
const SCHEME = /^(?:bearer|basic|token)\s+/i;
const QUOTES = /^["'`<([{]+|["'`>)\]},;]+$/g;
/** As much of a secret of another system as is shown and searched for. */
const FOREIGN_START_CHARACTERS = 12;
/** One word of so many characters is a secret rather than a name. */
const FOREIGN_MIN_CHARACTERS = 33;

/** So long a run of both cases and digits is part of a secret, in whatever form: no name has it. */
const RUN = /[A-Za-z0-9]{24,}/g;
/** Longer than one word of another system's secret with all that may stand around it. */
const MAX_BARE_CHARACTERS = 2_000;

/**
 * The secrets in a pasted text, each once: in a header, quotes, an assignment, JSON, a URL, a command, a line of a log,
 * base64.
 * Where none has the shape of this installation, the text itself counts as a secret of another system if it is one
 * word, as imported keys are.
 */
export function findSecrets(pasted: string, prefix: string): FoundSecret[] {
  const text = plain(pasted);
  const shape = new RegExp(`${prefix}_(?:live|test)_[0-9A-Za-z]{${KID_CHARACTERS},}`, 'g');
  const found = new Map<string, FoundSecret>();
  for (const reading of readings(text)) {
    for (const [match] of reading.matchAll(shape)) {
      const start = match.lastIndexOf('_') + 1;
      const keyPrefix = match.slice(0, start + KID_CHARACTERS);
      const isWhole = match.length >= start + TAIL_CHARACTERS;
      const secret = isWhole ? match.slice(0, start + TAIL_CHARACTERS) : null;
      if (isWhole || !found.has(keyPrefix)) found.set(keyPrefix, { secret, keyPrefix });
    }
  }
  if (found.size > 0) return [...found.values()];
  const word = foreignWord(text);
  return FOREIGN.test(word) ? [{ secret: word, keyPrefix: word.slice(0, FOREIGN_START_CHARACTERS) }] : [];
}

/**
 * What a pasted text may be searched for: the public start of a secret in it, or the text as it is. Nothing behind the
 * public start is part of the answer, also where the secret was cut off.
 */
export function searchTerm(text: string, prefix: string): string {
  const [first] = findSecrets(text, prefix);
  const isForeign = first?.secret !== null && !first?.keyPrefix.startsWith(`${prefix}_`);
  const isLong = (first?.secret?.length ?? 0) >= FOREIGN_MIN_CHARACTERS;
  if (first !== undefined && (!isForeign || isLong)) return first.keyPrefix;
  const term = text.trim().replace(/(?:…|\.{3})$/, '');
  const run = [...term.matchAll(RUN)].find(([one]) => isRandom(one));
  return run === undefined ? term : term.slice(0, run.index + FOREIGN_START_CHARACTERS);
}

function isRandom(run: string): boolean {
  return /[a-z]/.test(run) && /[A-Z]/.test(run) && /\d/.test(run);
}

/** The colours of a terminal: what follows its escape character. */
const COLOURS = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*m`, 'g');

/**
 * Without what cannot be seen, such as zero-width spaces, variation selectors and the colours of a terminal, and with
 * letters of full width as the usual ones.
 */
function plain(text: string): string {
  return text
    .normalize('NFKD')
    .replace(COLOURS, '')
    .replace(/[\p{Cf}\p{Mn}\p{Default_Ignorable_Code_Point}]/gu, '');
}

/**
 * The text as it stands, then with the breaks of a mail, a terminal or a string in code taken out, then without the
 * escapes of Markdown, JSON and URLs, which may be there twice, then what is base64 in it. No expression takes more
 * time than the text is long, however many spaces are in it.
 */
function readings(text: string): string[] {
  const joined = text
    .replace(/(?<![ \t])[ \t]+(?=\r?\n)/g, '')
    .replace(/["'`](?:[ \t]?[+.\\])?\r?\n[ \t]{0,80}(?:[+.][ \t]?)?["'`]/g, '')
    .replace(/[=\\]?\r?\n[\s>]*/g, '');
  const unescaped = decoded(decoded(joined.replace(/\\(?=_)/g, '')));
  return [text, joined, unescaped, ...[text, joined].map(inBase64)];
}

/** What escapes of JSON, code, HTML and URLs stand for. */
function decoded(text: string): string {
  const unescaped = text
    .replace(/\\u00([0-7][0-9a-f])/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
    .replace(/\\x([0-7][0-9a-f])/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
    .replace(/&#(\d{2,3});/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replace(/&#x([0-7][0-9a-f]);/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
    .replaceAll('&lowbar;', '_');
  // One by one: a percent sign that escapes nothing is a percent sign.
  return unescaped.replace(/%[0-7][0-9a-f]/gi, (escape) => decodeURIComponent(escape));
}

/** A run of so many characters may hold a secret. */
const BASE64 = /[A-Za-z0-9+/_-]{24,}={0,2}/g;

/** The texts that are base64 in this one, such as the credentials of `Authorization: Basic`. */
function inBase64(text: string): string {
  return [...text.matchAll(BASE64)].map(([run]) => fromBase64(run)).join('\n');
}

function fromBase64(run: string): string {
  try {
    return atob(run.replace(/=+$/, '').replaceAll('-', '+').replaceAll('_', '/'));
  } catch {
    return '';
  }
}

/** The one word of another system's secret; of the credentials of `Authorization: Basic` the password, or the user. */
function foreignWord(text: string): string {
  const [, credentials] = /\bbasic\s+([A-Za-z0-9+/=]{8,})["'\s]*$/i.exec(text.trim()) ?? [];
  const words = credentials === undefined ? [] : fromBase64(credentials).split(':').reverse();
  return words.find((word) => FOREIGN.test(word)) ?? bare(text);
}

/** One line without what stands around its secret; a longer text as it is: each layer is looked for in all of it. */
function bare(text: string): string {
  let rest = text.trim();
  if (rest.length > MAX_BARE_CHARACTERS) return rest;
  for (let before = ''; before !== rest;) {
    before = rest;
    rest = rest.replace(QUOTES, '').replace(LABELS, '').replace(SCHEME, '').trim();
  }
  return rest;
}
