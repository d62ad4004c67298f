const MS_PER_DAY = 86_400_000;

/** The end of a validity window that starts at `now`. @param days 24 hours each, whatever the calendar does */
export function windowEnd(now: Date, days: number): Date {
  return new Date(now.getTime() + days * MS_PER_DAY);
}
