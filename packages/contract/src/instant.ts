const INSTANT =
  /^(\d{4})-(\d{2})-(\d{2})T([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.\d{1,9})?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;

/**
 * The instant that an ISO 8601 text with an offset means, to the millisecond, or null. Days that no calendar has
 * (30 February) are none, though `Date` would take them.
 */
export function instantFrom(text: string): Date | null {
  const match = INSTANT.exec(text);
  return match !== null && isDay(match) ? new Date(text) : null;
}

/** As `instantFrom`; a plain day (`2026-11-01`) is its midnight in UTC. */
export function instantOrDayFrom(text: string): Date | null {
  const match = DAY.exec(text);
  if (match === null) return instantFrom(text);
  return isDay(match) ? new Date(`${text}T00:00:00Z`) : null;
}

function isDay([, year, month, day]: readonly (string | undefined)[]): boolean {
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  return date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day) && Number(year) >= 1970;
}
