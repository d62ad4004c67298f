import type { EntityManager } from 'typeorm';
import type { ChangeEntry } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { MICRO_CENTS_PER_CENT } from '../common/money.js';
import { auditedOverride } from '../limits/audited-override.js';
import { auditedLimit } from '../quotas/limits/audited-limit.js';
import { LimitAccountsRepository } from '../limits/limit-accounts.repository.js';
import { Limit } from '../limits/limit.entity.js';
import { DEMO } from '../openapi/demo-ids.js';

/** Adds a limit on the project of the demo, with an amount of its own for one owner. One that is there stays. */
export async function addDemoLimit(tx: EntityManager, record: (entry: ChangeEntry) => void, now: Date): Promise<void> {
  const limit = demoLimit(now);
  const insert = tx
    .createQueryBuilder()
    .insert()
    .into(Limit)
    .values(limit)
    .orIgnore()
    .updateEntity(false)
    .returning('id');
  const { raw } = (await insert.execute()) as { raw: unknown[] };
  if (raw.length === 0) return;
  record({
    action: 'limits:create',
    resourceType: 'limit',
    resourceId: limit.id,
    changes: diff(null, auditedLimit(limit)),
  });
  const override = {
    memberId: DEMO.ownerId,
    amount: 80_000n * MICRO_CENTS_PER_CENT,
    until: null,
    reason: 'New season',
  };
  await new LimitAccountsRepository(tx).putOverride(limit.id, override);
  record({
    action: 'limits:update',
    resourceType: 'limit',
    resourceId: limit.id,
    changes: diff(null, auditedOverride(limit.unit, override)),
    details: { memberId: override.memberId },
  });
}

function demoLimit(now: Date): Limit {
  return Object.assign(new Limit(), {
    id: DEMO.limitId,
    name: 'Invoicing, monthly',
    alias: null,
    description: 'What each owner may spend on invoices',
    unit: 'cents',
    amount: 50_000n * MICRO_CENTS_PER_CENT,
    per: 'month',
    timeZone: 'Europe/Berlin',
    targetKind: 'project',
    targetId: DEMO.projectId,
    each: 'owner',
    models: ['gpt-4o*', 'claude-*'],
    mode: 'enforce',
    countsFrom: now,
    endedAt: null,
    createdAt: now,
    updatedAt: now,
  } satisfies Limit);
}
