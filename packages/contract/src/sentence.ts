/** A part of a sentence: text, an amount in cents, or an instant in ISO 8601; one of the three. */
export interface SentencePart {
  readonly text?: string;
  readonly cents?: number;
  readonly at?: string;
}

/** How amounts and instants are written. */
export interface SentenceForm {
  readonly cents: (cents: number) => string;
  readonly at: (instant: string) => string;
}

/** The form of the API's own texts: `12.5 cents`, and instants as the API has them. */
export const API_FORM: SentenceForm = {
  cents: (cents) => `${cents} ${cents === 1 ? 'cent' : 'cents'}`,
  at: (instant) => instant,
};

/**
 * A sentence with values, as parts that each program writes in its own form: ``inParts`Ends at ${{ at }}.` ``. Values
 * that are text or numbers become text; empty text is left out.
 */
export function inParts(
  texts: TemplateStringsArray,
  ...values: (string | number | SentencePart | readonly SentencePart[])[]
): SentencePart[] {
  const all = texts.flatMap((text, index) => [{ text }, ...partsOf(values[index])]);
  return all.reduce<SentencePart[]>((parts, part) => {
    if (part.text === undefined) return [...parts, part];
    const last = parts.at(-1)?.text;
    if (last !== undefined) return [...parts.slice(0, -1), { text: last + part.text }];
    return part.text === '' ? parts : [...parts, part];
  }, []);
}

/** The sentence of the parts. */
export function written(parts: readonly SentencePart[], form: SentenceForm = API_FORM): string {
  return parts
    .map(({ text, cents, at }) => text ?? (cents === undefined ? form.at(at ?? '') : form.cents(cents)))
    .join('');
}

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/** Whether a text is an instant of UTC in ISO 8601: of its form, and of a calendar that has it. */
export function isInstant(text: string): boolean {
  if (!INSTANT.test(text)) return false;
  const at = new Date(text);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text.slice(0, 'yyyy-mm-ddThh:mm:ss'.length));
}

function partsOf(value: string | number | SentencePart | readonly SentencePart[] | undefined): readonly SentencePart[] {
  if (value === undefined) return [];
  if (typeof value !== 'object') return [{ text: String(value) }];
  return Array.isArray(value) ? (value as readonly SentencePart[]) : [value as SentencePart];
}
