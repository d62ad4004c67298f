import type { AuditRecord } from '../audit/chain.js';
import type { FieldChange } from '../audit/audit-event.entity.js';
import { type Audited, diff } from '../audit/diff.js';
import { auditedOverride } from '../limits/audited-override.js';
import type { Limit } from '../limits/limit.entity.js';
import { auditedLimit } from '../quotas/limits/audited-limit.js';
import type { ToldState } from './told-state.js';

/** An override as `compared-rows.repository.ts` reads it. */
export interface StoredOverride {
  readonly memberId: string;
  readonly amount: string;
  readonly until: string | null;
  readonly reason: string;
}

const ENDED = 'The trail says that it has ended.';
const NOT_ENDED = 'The trail does not know that it has ended.';

/**
 * A limit and its overrides compared with the trail. One that has ended decides nothing: its row stays until its
 * accounts are gone, and its overrides with it.
 */
export function compareLimit(
  limit: Limit,
  overrides: readonly StoredOverride[],
  { fields, isDeleted, records }: ToldState,
): { changes: FieldChange[]; problems: string[]; isGone?: boolean } {
  if (isDeleted && limit.endedAt !== null) return { changes: [], problems: [] };
  const state = auditedLimit(limit);
  const told = Object.fromEntries(Object.keys(state).map((field) => [field, fields[field] ?? null]));
  const changes = diff(told, state);
  if (isDeleted) return { changes, problems: [ENDED] };
  if (limit.endedAt !== null) return { changes: [], problems: [NOT_ENDED], isGone: true };
  const members = overridesThatDiffer(toldOverrides(records), storedOverrides(limit, overrides));
  return { changes, problems: members.map((id) => `The override of the member ${id} is not what the trail says.`) };
}

type Overrides = ReadonlyMap<string, Audited>;

function storedOverrides({ unit }: Limit, overrides: readonly StoredOverride[]): Overrides {
  return new Map(
    overrides.map(({ memberId, amount, until, reason }) => {
      const override = { memberId, amount: BigInt(amount), until: until === null ? null : new Date(until), reason };
      return [memberId, auditedOverride(unit, override)];
    }),
  );
}

/** An entry tells of one override by its changes, or of all of them by a list. */
function toldOverrides(records: readonly AuditRecord[]): Overrides {
  let told = new Map<string, Audited>();
  for (const { changes, details } of records) {
    const { overrides, memberId } = details;
    if (Array.isArray(overrides))
      told = new Map((overrides as Audited[]).map(({ memberId: id, ...override }) => [String(id), override]));
    if (typeof memberId !== 'string') continue;
    const after = Object.fromEntries(changes.map(({ field, after: value }) => [field, value]));
    told.set(memberId, { ...told.get(memberId), ...after });
  }
  return told;
}

/** Members of which one side has what the other has not. An override that was taken is told by nulls. */
function overridesThatDiffer(told: Overrides, stored: Overrides): string[] {
  const ids = new Set([...told.keys(), ...stored.keys()]);
  return [...ids].filter((id) => diff(told.get(id) ?? {}, stored.get(id) ?? {}).length > 0).sort();
}
