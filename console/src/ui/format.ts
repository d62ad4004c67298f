import { settings } from '../settings';

const numbers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const instants = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const days = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
const DAY_MS = 86_400_000;

/** A whole number with separators. */
export function count(value: number): string {
  return numbers.format(value);
}

/** A number for a tight place: 1.2K, 3.4M. */
export function short(value: number): string {
  return value < 10_000 ? count(value) : compact.format(value);
}

/** Cents as money. Fractions of a cent show in amounts below one unit, where they matter. */
export function money(cents: number): string {
  const fraction = Math.abs(cents) >= 100 || Number.isInteger(cents) ? 2 : 5;
  return new Intl.NumberFormat(undefined, {
    style: 'currency',
    currency: settings.currency,
    currencyDisplay: 'narrowSymbol',
    minimumFractionDigits: 2,
    maximumFractionDigits: fraction,
  }).format(cents / 100);
}

/** Amounts that belong together, each with as many digits as the finest of them needs: what is spent and what is left add up. */
export function moneys(amounts: readonly number[]): string[] {
  const digits = amounts.some((cents) => !Number.isInteger(Math.round(cents * 1e4) / 1e4)) ? 4 : 2;
  return amounts.map((cents) =>
    new Intl.NumberFormat(undefined, {
      style: 'currency',
      currency: settings.currency,
      currencyDisplay: 'narrowSymbol',
      minimumFractionDigits: 2,
      maximumFractionDigits: digits,
    }).format(cents / 100),
  );
}

/** Local time. */
export function local(instant: string | Date): string {
  return instants.format(new Date(instant));
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

/** Local time of day, to the second. */
export function time(instant: number | Date): string {
  return clock.format(instant);
}

/** Local day. */
export function localDay(instant: string | Date): string {
  return days.format(new Date(instant));
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
