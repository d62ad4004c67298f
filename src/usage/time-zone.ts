import { validationFailed } from '../common/domain-error.js';

const DAY_MS = 86_400_000;
/** Names of the IANA database; the length is that of its longest, with room. */
const NAME = /^[A-Za-z][A-Za-z0-9_+\-/]{0,63}$/;

/** Days and offsets of one time zone. A day is a number: days since 1970-01-01 by the calendar of the zone. */
export class TimeZone {
  /** The zone of reports for which no other is named. */
  static readonly UTC = new TimeZone('UTC', null);

  private constructor(
    readonly name: string,
    /** null: UTC. */
    private readonly format: Intl.DateTimeFormat | null,
  ) {}

  /**
   * The zone of a name of the IANA database.
   *
   * @throws DomainError 400 that names what is no such zone
   */
  static of(name: string | undefined): TimeZone {
    if (name === undefined || name === 'UTC') return TimeZone.UTC;
    const format = NAME.test(name) ? formatOf(name) : null;
    if (format !== null) return new TimeZone(name, format);
    const message = `must be a time zone of the IANA database, such as Europe/Berlin, and not "${name.slice(0, 64)}"`;
    throw validationFailed([{ path: 'timeZone', message }]);
  }

  /** How far the zone's clocks are ahead of UTC at an instant. */
  offsetMs(atMs: number): number {
    if (this.format === null) return 0;
    const part: Record<string, number> = {};
    for (const { type, value } of this.format.formatToParts(atMs)) part[type] = Number(value);
    const { year, month, day, hour, minute, second } = part;
    return Date.UTC(year!, month! - 1, day, hour, minute, second) - Math.floor(atMs / 1000) * 1000;
  }

  /** The day of an instant. */
  dayOf(atMs: number): number {
    return Math.floor((atMs + this.offsetMs(atMs)) / DAY_MS);
  }

  /** The first instant of a day: not always midnight, where clocks are put forward at midnight. */
  startOf(day: number): number {
    const midnight = day * DAY_MS;
    // Clocks change at most once within a day of it, so one of the two offsets is that of its start.
    const [before, after] = [midnight - DAY_MS, midnight + DAY_MS].map((atMs) => midnight - this.offsetMs(atMs));
    const starts = [Math.min(before!, after!), Math.max(before!, after!)];
    // A day that the zone has left out begins where the next one does.
    return starts.find((atMs) => this.dayOf(atMs) === day && this.dayOf(atMs - 1) < day) ?? before!;
  }
}

/** A day as text: `2026-11-21`. */
export function dayText(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

function formatOf(timeZone: string): Intl.DateTimeFormat | null {
  const numeric = 'numeric' as const;
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'gregory',
      hourCycle: 'h23',
      year: numeric,
      month: numeric,
      day: numeric,
      hour: numeric,
      minute: numeric,
      second: numeric,
    });
  } catch {
    return null;
  }
}
