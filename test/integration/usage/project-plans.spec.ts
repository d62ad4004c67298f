import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';
import type { SummaryGroup } from '../../../src/usage/usage-reads.dto.js';
import { type SumSource, UsageRepository } from '../../../src/usage/usage.repository.js';
import { TestApp } from '../../support/app.js';
import { makeKey } from '../../support/made-keys.js';

/** Usage of keys outside of the project. */
const OTHERS = 20_000;

/** The nodes of a plan that were run, with how many rows each gave or passed over, in all its loops. */
interface PlanNode {
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Index Recheck'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** Rows that a plan read from tables of usage and of versions. */
function rowsRead(node: PlanNode): number {
  const passed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
  const own = node['Relation Name'] === undefined ? 0 : (node['Actual Rows'] + passed) * node['Actual Loops'];
  return (node.Plans ?? []).reduce((sum, child) => sum + rowsRead(child), own);
}

describe('The usage of a project', () => {
  let app: TestApp;
  let projectId: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    const token = await app.adminToken();
    projectId = (await app.post('/projects', { token, body: { name: 'Looked at' } })).body.id;
    const { id: apiKeyId } = await makeKey(app, token, { projectId });
    const events = [{ id: 'in-the-project', apiKeyId, costCents: 7 }];
    expect((await app.post('/usage', { token, body: { events } })).status).toBe(200);
    await app.dataSource.query(
      `INSERT INTO usage_rollup_hour (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
       SELECT gen_random_uuid(), date_trunc('hour', now(), 'UTC'), '', 1, 0, 0, 1 FROM generate_series(1, ${OTHERS})`,
    );
    await app.dataSource.query(
      `INSERT INTO usage_event (key_id, caller_id, event_id, month, requests, input_tokens, output_tokens, cost_micro_cents)
       SELECT gen_random_uuid(), caller_id, n::text, month, 1, 0, 0, 1 FROM usage_event, generate_series(1, ${OTHERS}) AS n`,
    );
    for (const table of ['usage_rollup_hour', 'usage_event', 'key_version'])
      await app.dataSource.query(`ANALYZE ${table}`);
  });
  afterAll(() => app.stop());

  /** Asks for a sum and a summary as the product does, and gives the rows that their statements read. */
  const read = async (groupBy: SummaryGroup, source: SumSource): Promise<number[]> => {
    const counts: number[] = [];
    const query = async (text: string, values: unknown[]) => {
      const [row] = await app.dataSource.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }[]>(
        `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT JSON) ${text}`,
        values,
      );
      counts.push(rowsRead(row!['QUERY PLAN'][0].Plan));
      return app.dataSource.query<object[]>(text, values);
    };
    const usage = new UsageRepository({ query } as unknown as EntityManager);
    const range = { from: new Date(Date.now() - 86_400_000), to: new Date(Date.now() + 86_400_000) };
    const asked = { projectId, subject: null };
    const found = await usage.summarize(groupBy, range, { limit: 10, starts: [range.from], source, ...asked });
    expect(found.map(({ sums }) => sums.costMicroCents)).toEqual([7_000_000n]);
    expect((await usage.sumOf(range, source, asked)).costMicroCents).toBe(7_000_000n);
    return counts;
  };

  it.each<[SummaryGroup, SumSource]>([
    ['key', 'rollups'],
    ['owner', 'rollups'],
    ['day', 'rollups'],
    ['model', 'events'],
  ])('by %s is read from its keys, and not from all %s', async (groupBy, source) => {
    const counts = await read(groupBy, source);
    expect(counts).toHaveLength(2);
    for (const count of counts) {
      expect(count).toBeGreaterThan(0);
      expect(count).toBeLessThan(OTHERS / 20);
    }
  });
});
