import { cidrProblem } from './address.js';
import { instantFrom, instantOrDayFrom } from './instant.js';
import { type Schema, faultsOf } from './schema.js';
import { isNameOf, isStorableText, isTextOf, isVisible } from './text.js';

/** What the text of one field may be, with one sentence for all places that take such a field. */
export type Grammar = Schema & { readonly type: 'string'; readonly sentence: string };

/** Text that a regular expression describes; `what` completes "must be …". */
export type PatternGrammar = Grammar & { readonly pattern: string };

function grammar(pattern: string, what: string): PatternGrammar {
  return { type: 'string', pattern, sentence: `must be ${what}` };
}

/** Whether a value is text of the grammar. */
export function isOf(schema: Grammar, value: unknown): value is string {
  return faultsOf(schema, value).length === 0;
}

/** PostgreSQL stores no NUL, half a surrogate pair is no character, and line ends break logs, headers and CSV. */
const FORBIDDEN = /[\p{Cc}\p{Cs}]/gu;

/** One line of text of 1 to `max` characters: no control characters, no lone surrogates. */
function lineOf(max: number): PatternGrammar {
  // The same as \p{Cc} and \p{Cs}, in a form that every implementation of JSON Schema reads.
  return grammar(
    `^[^\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff]{1,${max}}$`,
    `1 to ${max} characters without control characters`,
  );
}

/** What is left of a value as a line of at most `max` characters; null where nothing is. */
export function cutToLine(value: unknown, max: number): string | null {
  if (typeof value !== 'string') return null;
  // Twice as many UTF-16 units hold at least as many characters; a pair that is cut in half lies behind them.
  const text = [...value.replace(FORBIDDEN, '').slice(0, 2 * max)].slice(0, max).join('');
  return text === '' ? null : text;
}

/** An alias, in a body and in the path. `.` and `..` are none: URLs take them for steps. */
export const ALIAS = grammar(
  '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,100}$',
  '1 to 100 of A-Z a-z 0-9 . _ -, and neither . nor ..',
);

/** A scope. A pattern of scopes is of the same grammar, which allows `*`. @see RFC 6749, section 3.3 */
export const SCOPE = grammar(
  '^[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,128}$',
  '1 to 128 visible ASCII characters without quotes, backslashes and spaces',
);

/** A tag. */
export const TAG = grammar('^[A-Za-z0-9._:/-]{1,64}$', '1 to 64 of A-Z a-z 0-9 . _ : / -');

/** The name of a role; the column checks the same. */
export const ROLE_NAME = grammar('^[a-z][a-z0-9-]{0,63}$', '1 to 64 of a-z 0-9 - and begin with a letter');

/** A role that is named in another thing. */
export const NAME_OF_A_ROLE: PatternGrammar = { ...ROLE_NAME, sentence: 'must be the name of a role' };

/** A UUID of any version in its canonical, hyphenated form; upper case is accepted. */
export const UUID: PatternGrammar = {
  ...grammar('^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$', 'a UUID'),
  format: 'uuid',
};

/** Characters of a model's name. */
export const MODEL_CHARACTERS = 128;

/** The name of a model, or a pattern over names: what can be verified and metered can be allowed, and the reverse. */
export const MODEL = lineOf(MODEL_CHARACTERS);

/** Characters of a chatbot's name. */
export const CHATBOT_CHARACTERS = 128;

/** The name of a chatbot. */
export const CHATBOT = lineOf(CHATBOT_CHARACTERS);

/**
 * The end user of a key, as a caller names it: visible ASCII without blanks. `.` and `..` are none: URLs take them for
 * steps.
 */
export const SUBJECT = grammar(
  '^(?!\\.{1,2}$)[\\x21-\\x7e]{1,128}$',
  '1 to 128 visible ASCII characters without spaces, and neither . nor ..',
);

/** Characters of an endpoint. */
export const ENDPOINT_CHARACTERS = 256;

/** The endpoint that a usage event names. */
export const ENDPOINT = lineOf(ENDPOINT_CHARACTERS);

/** The caller's name for a usage event. */
export const EVENT_ID = lineOf(128);

/** Characters of what can be a key, made here or imported; a longer text is none. */
export const MAX_KEY_CHARACTERS = 512;

/** What is presented as a key, whatever it is: a text that can be none is a verdict, and no fault of the request. */
export const PRESENTED_KEY = { type: 'string', minLength: 1 } as const satisfies Schema;

/** The opaque id of a reservation, as it was given. */
export const RESERVATION_ID = { type: 'string', minLength: 1, maxLength: 1024 } as const satisfies Schema;

/** An address, or a network in CIDR notation whose host bits are 0. */
export const ADDRESS = { type: 'string', maxLength: 64, check: cidrProblem } as const satisfies Schema;

const NAME_SENTENCE = 'must be 1 to 100 characters on one line, and not blank';

/** What people call a thing; it is trimmed. */
export const NAME: Grammar = {
  type: 'string',
  minLength: 1,
  pattern: '\\S',
  sentence: NAME_SENTENCE,
  check: (name: string) =>
    isNameOf(name, 100) && isVisible(name) && !/[\p{Cc}\u2028\u2029]/u.test(name.trim()) ? null : NAME_SENTENCE,
};

const NO_CHARACTERS = 'must not contain NUL or half a surrogate pair';

/** Text of any number of lines that people read, of at most `max` characters. */
export function textOf(max: number): Schema {
  const check = (text: string) => (isTextOf(text, max) ? null : NO_CHARACTERS);
  return { type: 'string', maxLength: max, check };
}

/** Text of any lines that may be stored. */
export const isStorable = isStorableText;

/** The largest amount of cents that one value of the API may name; a sum of many may be larger. */
export const MAX_CENTS = 1_000_000_000;

/** Decimals of a cent that can be told apart. */
export const CENT_DECIMALS = 6;

/** An amount that is rounded, because a program calculates it: any number of decimals. */
export const AMOUNT = { type: 'number', minimum: 0, maximum: MAX_CENTS } as const satisfies Schema;

/** The most tokens that one value of the API may name. */
export const MAX_LIMIT_TOKENS = 1_000_000_000_000;

/** Tokens of one call, as a program estimates them. */
export const TOKENS = { type: 'integer', minimum: 0, maximum: MAX_LIMIT_TOKENS } as const satisfies Schema;

/** An amount that a person decides: more decimals than can be told apart are a mistake. */
export const CENTS = {
  ...AMOUNT,
  check: (cents: number) => decimalsProblem(cents, CENT_DECIMALS),
} as const satisfies Schema;

/** What is wrong with a number of more decimals than that, or null. */
export function decimalsProblem(value: number, most: number): string | null {
  return decimalsOf(value) <= most ? null : `must have at most ${most} decimals`;
}

/** Decimals of the shortest text that means this number. */
function decimalsOf(value: number): number {
  const [mantissa = '', exponent = '0'] = String(value).split('e');
  const fraction = mantissa.split('.')[1]?.length ?? 0;
  return Math.max(0, fraction - Number(exponent));
}

const EXAMPLE = '2027-12-31T23:59:59Z';

/** In a query, a plus that is not encoded is read as a blank. */
const isPlusLost = (text: string) => /T[\d:.]+ \d{2}:\d{2}$/.test(text);

const instantProblem = (sentence: string, read: (text: string) => Date | null) => (text: string) => {
  if (read(text) !== null) return null;
  return isPlusLost(text) ? 'must have the + of its offset written as %2B in a URL' : sentence;
};

/** An instant with an offset: what Python, .NET, Go and JavaScript write. */
export const INSTANT = {
  type: 'string',
  maxLength: 40,
  format: 'date-time',
  check: instantProblem(`must be an instant such as ${EXAMPLE}`, instantFrom),
} as const satisfies Schema;

/** An instant, or a day, which is its midnight in UTC. */
export const INSTANT_OR_DAY = {
  type: 'string',
  maxLength: 40,
  check: instantProblem(`must be an instant such as ${EXAMPLE}, or a day such as 2027-12-31`, instantOrDayFrom),
} as const satisfies Schema;

/** A whole number. */
export function whole(minimum: number, maximum: number): Schema {
  return { type: 'integer', minimum, maximum };
}

/** Yes or no. */
export const FLAG = { type: 'boolean' } as const satisfies Schema;

/** One of a few texts. */
export function oneOf(values: readonly string[]): Schema {
  return { type: 'string', enum: values };
}

/** A list of at most `maxItems` entries, none of them twice. */
export function setOf(maxItems: number, items: Schema): Schema {
  return { type: 'array', maxItems, uniqueItems: true, items };
}
