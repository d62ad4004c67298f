import { canonicalJson } from '../common/canonical-json.js';
import type { FieldChange } from './audit-event.entity.js';

/** A thing as the trail shows it: whitelisted fields only, never a secret. */
export type Audited = Readonly<Record<string, unknown>>;

/**
 * The fields in which two states of a thing differ, in the order of `after`. A thing that came into being
 * has `before` null, one that is gone `after` null.
 */
export function diff(before: Audited | null, after: Audited | null): FieldChange[] {
  const names = new Set([...Object.keys(after ?? {}), ...Object.keys(before ?? {})]);
  return [...names]
    .map((field) => ({ field, before: plain(before?.[field]), after: plain(after?.[field]) }))
    .filter((change) => canonicalJson(change.before) !== canonicalJson(change.after));
}

/** As it will read in JSON. */
function plain(value: unknown): unknown {
  if (value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  return value;
}
