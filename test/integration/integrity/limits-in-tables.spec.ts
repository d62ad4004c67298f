import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { acceptRows } from '../../../src/integrity/accept-rows.js';
import { AUDITED_COLUMNS } from '../../../src/integrity/audited-columns.js';
import { type RowDifference, compareTables, describeDifference } from '../../../src/integrity/table-comparison.js';
import { TestApp } from '../../support/app.js';
import { ROW_EDITS } from '../../support/row-edits.js';
import { linesAfterEdits } from '../../support/table-edits.js';

describe('Limits compared with the audit trail', () => {
  let app: TestApp;
  let token: string;
  /** As an attacker with the application's role, and nothing else. */
  let writer: Client;
  let projectId: string;
  let memberId: string;
  /** With an override of the member. */
  let limitId: string;

  const post = async (path: string, body: object) => {
    const answer = await app.post(path, { token, body });
    if (answer.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const override = async (id: string, amountCents: number, more: object = {}) => {
    const answer = await app.put(`/limits/${id}/accounts/${memberId}`, { token, body: { amountCents, ...more } });
    expect(answer.status).toBe(200);
  };
  const lines = async (): Promise<string[]> => {
    const found: RowDifference[] = [];
    for await (const { differences } of compareTables(app.config, app.dataSource)) found.push(...differences);
    return found.map(describeDifference);
  };
  const linesAfter = (table: string, statement: string) =>
    linesAfterEdits({ writer, ownerUrl: app.database.ownerUrl, lines }, table, [statement], []);

  beforeAll(async () => {
    app = await TestApp.start();
    token = await app.adminToken();
    writer = new Client({ connectionString: app.database.appUrl });
    await writer.connect();
    projectId = (await post('/projects', { name: 'Search' })).id;
    memberId = (await app.addUser(['creator'])).id;
    await post('/api-keys', { ownerId: memberId, projectId });
    const target = { kind: 'project', id: projectId };
    limitId = (await post('/limits', { name: 'Search', amountCents: 1000, per: 'month', each: 'owner', target })).id;
    await override(limitId, 2000, { until: '2999-01-01T00:00:00Z', reason: 'Load test' });
    // Without overrides, which go with their limit.
    await post('/limits', { name: 'Spare', amountCents: 1, per: 'day', target });
    // Written past Latchkey by the harness.
    await acceptRows(app.config, app.dataSource, [memberId]);
  });
  afterAll(async () => {
    await writer.end();
    await app.stop();
  });

  it('differ in nothing after overrides that come, change, go, and go along with a limit that takes the place of another', async () => {
    const body = { name: 'By alias', amountCents: 10, each: 'owner', target: { kind: 'project', id: projectId } };
    const put = async (per: string) =>
      (await app.put('/limits/by-alias/tables?restart=true', { token, body: { ...body, per } })).body.id as string;
    const first = await put('day');
    await override(first, 20);
    await override(first, 30, { reason: 'Friday' });
    const second = await put('week');
    await app.patch(`/limits/${second}`, { token, body: { amountCents: 5, mode: 'observe', name: 'Other' } });
    expect((await app.get(`/limits/${second}/accounts`, { token })).body.data).toMatchObject([{ amountCents: 30 }]);
    expect(await lines()).toEqual([]);
    expect((await app.delete(`/limits/${second}/accounts/${memberId}`, { token })).status).toBe(204);
    await override(second, 40);
    const third = await put('day');
    expect((await app.delete(`/limits/${third}`, { token })).status).toBe(204);
    expect(await lines()).toEqual([]);
  });

  const compared = ['quota_limit', 'quota_limit_override'].flatMap((table) =>
    Object.entries(AUDITED_COLUMNS[table]!).flatMap(([column, rule]) =>
      'excluded' in rule || !(`${table}.${column}` in ROW_EDITS) ? [] : [[table, column] as const],
    ),
  );

  it.each(compared)('differ after the application has written %s.%s', async (table, column) => {
    const id = table === 'quota_limit' ? 'id' : 'limit_id';
    const statement = `UPDATE ${table} SET ${column} = ${ROW_EDITS[`${table}.${column}`]!} WHERE ${id} = '${limitId}'`;
    const found = await linesAfter(table, statement);
    expect(found.join()).toContain(`limit ${limitId}: `);
    const rule = AUDITED_COLUMNS[table]![column]!;
    if ('field' in rule) expect(found.join()).toContain(rule.field);
  });

  it.each([
    [
      'a limit of no origin',
      'quota_limit',
      `INSERT INTO quota_limit (id, name, unit, per, amount, target_kind, counts_from, created_at, updated_at)
         SELECT gen_random_uuid(), 'Eve', 'cents', 'month', 1, 'installation', now(), now(), now()`,
      'does not know this row',
    ],
    ['a limit that is gone', 'quota_limit', `DELETE FROM quota_limit WHERE name = 'Spare'`, 'no such row'],
    [
      'a limit that had ended and holds again',
      'quota_limit',
      `UPDATE quota_limit SET ended_at = NULL WHERE ended_at IS NOT NULL`,
      'says that it has ended',
    ],
    [
      'an override of no origin',
      'quota_limit_override',
      `INSERT INTO quota_limit_override (limit_id, member_id, amount)
         SELECT id, gen_random_uuid(), 1 FROM quota_limit WHERE name = 'Search'`,
      'is not what the trail says',
    ],
    ['an override that is gone', 'quota_limit_override', 'DELETE FROM quota_limit_override', 'not what the trail says'],
  ])('differ in %s', async (_, table, statement, sentence) => {
    expect((await linesAfter(table, statement)).join('\n')).toContain(sentence);
  });

  it('are accepted as they are, overrides too, and then compared with that', async () => {
    await writer.query(`UPDATE quota_limit SET amount = 7000000 WHERE id = $1`, [limitId]);
    await writer.query(`UPDATE quota_limit_override SET amount = 9000000 WHERE limit_id = $1`, [limitId]);
    await writer.query(`UPDATE quota_limit SET ended_at = now() WHERE name = 'Spare'`);
    expect(await lines()).toHaveLength(2);
    expect(await acceptRows(app.config, app.dataSource, null)).toHaveLength(2);
    expect(await lines()).toEqual([]);
    await override(limitId, 11);
    expect(await lines()).toEqual([]);
    await writer.query('DELETE FROM quota_limit_override WHERE limit_id = $1', [limitId]);
    expect((await lines()).join()).toContain(`The override of the member ${memberId} is not what the trail says.`);
  });
});
