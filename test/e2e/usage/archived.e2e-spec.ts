import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { UsageArchiver } from '../../../src/usage/archives/usage-archiver.js';
import { allowArchiving } from '../../support/allow-sealing.js';
import { TestApp } from '../../support/app.js';
import { createTestDirectory } from '../../support/postgres.js';

/** Half an hour beside UTC: rollups do not tell its days apart. */
const INDIA = 'Asia/Kolkata';

describe('Usage of a month whose events were archived', () => {
  let app: TestApp;
  let admin: string;
  let key: string;
  /** First days of months: of one that is archived, and of those after it. */
  let months: string[];
  let archivedBefore: unknown[];

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    key = (await app.post('/api-keys', { token: admin, body: { name: 'Old' } })).body.apiKey.id;
    const rows = await app.dataSource.query<{ day: string }[]>(
      `SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => back), 'YYYY-MM-DD') AS day
         FROM generate_series(5, 2, -1) back`,
    );
    months = rows.map(({ day }) => day);
    for (const month of [months[0]!, months[3]!]) await book(`${month.slice(0, 8)}10T10:20:00Z`);
    const before = (await events()).body.archivedBefore;
    await allowArchiving(app.database, 2);
    await new UsageArchiver(app.dataSource, { directory: await createTestDirectory(), keepMonths: 2 }).archiveAll();
    archivedBefore = [before, (await events()).body.archivedBefore];
  });
  afterAll(() => app.stop());

  /** An event of the past, and its rollup. */
  const book = (at: string) =>
    app.dataSource.query(
      `WITH e AS (INSERT INTO usage_event (received_at, key_id, caller_id, event_id, month, requests, input_tokens, output_tokens,
                                           cost_micro_cents, model, chatbot)
                  VALUES ($2::timestamptz, $1::uuid, $3::uuid, gen_random_uuid(), $2::timestamptz::date, 1, 0, 0, 5000000, '', 'bot'))
       INSERT INTO usage_rollup_hour (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
       VALUES ($1::uuid, date_trunc('hour', $2::timestamptz, 'UTC'), '', 1, 0, 0, 5000000)`,
      [key, at, randomUUID()],
    );
  const events = () => app.get(`/usage/events?keyId=${key}`, { token: admin });
  const day = (month: number, of: string) => `${months[month]!.slice(0, 8)}${of}`;
  const get = (path: string, query: Record<string, string>) =>
    app.get(`${path}?${new URLSearchParams(query).toString()}`, { token: admin });
  const summary = (query: Record<string, string>) => get('/usage/summary', query);
  /** The field and the sentence of a 400. */
  const refusalOf = async (answer: ReturnType<typeof summary>) => {
    const { status, body } = await answer;
    expect(status).toBe(400);
    return body.errors[0] as { path: string; message: string };
  };

  it.each(['callTag', 'chatbot', 'endpoint', 'status'])(
    'is not told by %s, and the answer names the month and what still works',
    async (groupBy) => {
      const of = { from: day(0, '05'), to: day(0, '20'), groupBy };
      const [month, first] = [months[0]!.slice(0, 7), months[1]!];
      const refusal = {
        path: 'from',
        message:
          `the events of ${month} (UTC) were archived, and groupBy=${groupBy} needs single events: ` +
          `ask for a range from ${first} on, or group by day, owner, project, tag, model, key`,
      };
      expect(await refusalOf(summary(of))).toEqual(refusal);
      expect(await refusalOf(summary({ ...of, format: 'csv' }))).toEqual(refusal);
      expect(await refusalOf(summary({ ...of, to: day(1, '02') }))).toEqual(refusal);
      expect((await summary({ ...of, from: first, to: day(1, '20') })).status).toBe(200);
    },
  );

  it('is told by what rollups have, as before', async () => {
    for (const groupBy of ['day', 'owner', 'project', 'tag', 'model', 'key'])
      for (const timeZone of ['UTC', 'Europe/Berlin']) {
        const { status, body } = await summary({ from: day(0, '05'), to: day(0, '20'), groupBy, timeZone });
        expect([groupBy, status, body.totals.costCents, body.rows[0].costCents]).toEqual([groupBy, 200, 5, 5]);
      }
  });

  it('is not told in a zone of half hours; the first day that is named can be asked for', async () => {
    const of = { from: day(0, '05'), to: day(0, '20'), timeZone: INDIA };
    const { path, message } = await refusalOf(summary(of));
    // Its first of the month begins before that of UTC.
    expect([path, message]).toEqual(['from', expect.stringContaining(`time zone ${INDIA} needs single events`)]);
    expect(message).toContain(`from ${day(1, '02')} on, or take a time zone of whole hours`);
    expect((await summary({ ...of, from: day(1, '02'), to: day(1, '20') })).status).toBe(200);
    expect((await refusalOf(summary({ ...of, from: day(1, '01'), to: day(1, '20') }))).path).toBe('from');
    for (const interval of ['day', 'hour'])
      expect((await refusalOf(get(`/api-keys/${key}/usage/series`, { ...of, interval }))).message).toBe(message);
    const series = await get(`/api-keys/${key}/usage/series`, { ...of, interval: 'day', timeZone: 'UTC' });
    expect(series.status).toBe(200);
  });

  it('is not what a later range is compared with in such a zone', async () => {
    const of = { from: day(1, '02'), to: day(1, '12'), timeZone: INDIA };
    expect((await summary(of)).status).toBe(200);
    const { path, message } = await refusalOf(summary({ ...of, compare: 'previous' }));
    expect([path, message]).toEqual(['compare', expect.stringContaining('leave it out')]);
    expect((await summary({ ...of, compare: 'previous', timeZone: 'UTC' })).status).toBe(200);
  });

  it('is not listed by events, which say from when on there are any', async () => {
    // Archived were the month of the event and none without any.
    expect(archivedBefore).toEqual([null, `${months[1]}T00:00:00.000Z`]);
    const { body } = await events();
    expect(body.data.map(({ receivedAt }: { receivedAt: string }) => receivedAt)).toEqual([
      `${day(3, '10')}T10:20:00.000Z`,
    ]);
  });
});
