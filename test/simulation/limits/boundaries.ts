import type { LimitRow, TargetKind } from './limit-rows.js';

/** Instants at which a period ends, and the zone in which it does: runs begin shortly before. */
export const BOUNDARIES = [
  ['2026-11-01T00:00:00Z', 'UTC'],
  ['2026-10-31T23:00:00Z', 'Europe/Berlin'],
  // Midnight comes twice: the local date changes an hour before the period ends.
  ['2026-11-01T04:00:00Z', 'America/Havana'],
  ['2026-11-01T05:00:00Z', 'America/Havana'],
  ['2026-10-25T00:00:00Z', 'Atlantic/Azores'],
  ['2026-10-25T01:00:00Z', 'Atlantic/Azores'],
  // Midnight is skipped.
  ['2026-09-06T04:00:00Z', 'America/Santiago'],
  ['2026-04-23T22:00:00Z', 'Africa/Cairo'],
  // The Monday of ISO week 53, and the end of that week.
  ['2026-12-27T23:00:00Z', 'Europe/Berlin'],
  ['2027-01-03T18:15:00Z', 'Asia/Kathmandu'],
  ['2028-02-29T00:00:00Z', 'UTC'],
] as const;

/** Who and what calls are of; a call may name no model. */
export const OWNERS = ['ann', 'bob'];
export const PROJECTS = ['search', 'chat'];
export const MODELS = [null, 'gpt', 'mini'];
/** A call may name no subject. */
export const SUBJECTS = ['eve', 'sam'];

/** What a target may divide its limit by. */
export const EACH: Record<TargetKind, readonly LimitRow['each'][]> = {
  key: [null, 'subject'],
  owner: [null, 'key', 'subject'],
  project: [null, 'key', 'owner', 'subject'],
  installation: [null, 'key', 'owner', 'subject'],
};
