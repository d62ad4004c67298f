import type { SegmentContent } from './segment-summary.js';

/**
 * Whether the file of a segment is kept no longer: all its entries are older than `keepMonths` whole months before the
 * one of `now` (UTC). Null keeps every file.
 */
export function isOutdated(keepMonths: number | null, { until }: Pick<SegmentContent, 'until'>, now: Date): boolean {
  if (keepMonths === null) return false;
  return Date.parse(until) < Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - keepMonths, 1);
}
