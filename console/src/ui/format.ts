import { type SentenceForm, type SentencePart, written } from '../../../packages/contract/src/sentence';
import { settings } from '../settings';

/**
 * The language of the console is English, and its numbers and dates are of the same language: of the reader's own
 * English where the browser has one.
 */
const LOCALE = navigator.languages.find(isEnglish) ?? 'en-GB';

const numbers = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(LOCALE, { notation: 'compact', maximumFractionDigits: 1 });
const instants = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'short' });
const seconds = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'medium' });
const utcDays = new Intl.DateTimeFormat(LOCALE, { day: 'numeric', month: 'short', timeZone: 'UTC' });
const daysAndHours = new Intl.DateTimeFormat(LOCALE, {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
});
const hours = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit' });
const relative = new Intl.RelativeTimeFormat(LOCALE, { numeric: 'auto' });
const DAY_MS = 86_400_000;

/** A whole number with separators. */
export function count(value: number): string {
  return numbers.format(value);
}

/** A number for a tight place: 1.2K, 3.4M. */
export function short(value: number): string {
  return value < 10_000 ? count(value) : compact.format(value);
}

const currency = (digits: number, options: Intl.NumberFormatOptions = {}) =>
  new Intl.NumberFormat(LOCALE, {
    style: 'currency',
    currency: settings.currency,
    currencyDisplay: 'narrowSymbol',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
    ...options,
  });
const amounts = currency(2);
const fineAmounts = currency(4);
const shortAmounts = currency(0, { notation: 'compact', maximumFractionDigits: 1 });

/** Cents as money, always with two digits; an amount below one cent, which they would hide, with four. */
export function money(cents: number): string {
  return (cents !== 0 && Math.abs(cents) < 1 ? fineAmounts : amounts).format(cents / 100);
}

/** Money for a tight place: $1.2K. */
export function shortMoney(cents: number): string {
  return Math.abs(cents) < 100_000 ? money(cents) : shortAmounts.format(cents / 100);
}

/** Local time. */
export function local(instant: string | Date): string {
  return instants.format(new Date(instant));
}

/** Local time, to the second. */
export function localWithSeconds(instant: string | Date): string {
  return seconds.format(new Date(instant));
}

const zoned = new Intl.DateTimeFormat(LOCALE, {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  timeZoneName: 'short',
});

const FORM: SentenceForm = { cents: money, at: localWithZone };

/** A sentence in parts, with money as everywhere here, and local time with its zone. */
export function inWords(parts: readonly SentencePart[]): string {
  return written(parts, FORM);
}

/** A sentence of the server, which has parts where it names an amount or an instant. */
export function sentence(text: string, parts: readonly SentencePart[] | undefined): string {
  return parts === undefined ? text : inWords(parts);
}

/** Local time with its zone. */
export function localWithZone(instant: string | Date): string {
  return zoned.format(new Date(instant));
}

/** A day of UTC by its own name, in whatever zone it is read. */
export function utcDay(day: string): string {
  return utcDays.format(new Date(`${day.slice(0, 10)}T00:00:00Z`));
}

/** Local hour and minute. */
export function hour(instant: string): string {
  return hours.format(new Date(instant));
}

/** Local day, hour and minute, for a tight place. */
export function dayAndHour(instant: string): string {
  return daysAndHours.format(new Date(instant));
}

const clock = new Intl.DateTimeFormat(LOCALE, { timeStyle: 'medium' });

/** Local time of day, to the second. */
export function time(instant: number | Date): string {
  return clock.format(instant);
}

/** The same in UTC, as logs have it. */
export function utc(instant: string | Date): string {
  return `${new Date(instant).toISOString().replace('T', ' ').slice(0, 19)} UTC`;
}

/** How far an instant is from now: "in 3 days", "2 minutes ago". */
export function fromNow(instant: string | Date, now = Date.now()): string {
  const ms = new Date(instant).getTime() - now;
  const size = Math.abs(ms);
  if (size < 60_000) return relative.format(Math.round(ms / 1000), 'second');
  if (size < 3_600_000) return relative.format(Math.round(ms / 60_000), 'minute');
  if (size < DAY_MS) return relative.format(Math.round(ms / 3_600_000), 'hour');
  if (size < 60 * DAY_MS) return relative.format(Math.round(ms / DAY_MS), 'day');
  return relative.format(Math.round(ms / (30 * DAY_MS)), 'month');
}

/** Seconds in the largest unit that fits. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** Of a `datetime-local` input, which speaks local time, to the API's UTC. */
export function toInstant(localText: string): string {
  return new Date(localText).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

/** Of the API's UTC to what a `datetime-local` input takes. */
export function toLocalInput(instant: string | Date): string {
  const at = new Date(instant);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Browsers tell what their system is set to as it is, as `en-US@posix`, which is no language tag: Intl throws. */
function isEnglish(language: string): boolean {
  try {
    return new Intl.Locale(language).language === 'en';
  } catch {
    return false;
  }
}
