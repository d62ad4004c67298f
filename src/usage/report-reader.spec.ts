import { describe, expect, it } from '@jest/globals';
import { ReportReader } from './report-reader.js';

const events = (count: number) => Array.from({ length: count }, (_, index) => index);
const double = (event: unknown) => 2 * (event as number);

describe('A reader of reports', () => {
  it('reads short and long reports alike, in order', async () => {
    const reader = new ReportReader();
    for (const count of [1, 50, 51, 1_000]) {
      const read = await reader.read('one', events(count), double);
      expect(read).toEqual(events(count).map(double));
    }
  });

  it('lets others run between the slices of a long report', async () => {
    const reader = new ReportReader();
    let isRead = false;
    const long = reader.read('flood', events(1_000), double).then(() => (isRead = true));
    let turns = 0;
    for (; !isRead; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    await long;
    expect(turns).toBeGreaterThan(10);
  });

  it('reads one long report of a caller at a time, and those of another beside it', async () => {
    const reader = new ReportReader();
    const ended: string[] = [];
    const read = (caller: string, count: number) =>
      reader.read(caller, events(count), double).then(
        () => ended.push(caller),
        () => null,
      );
    await Promise.all([read('flood', 1_000), read('flood', 1_000), read('flood', 1_000), read('other', 100)]);
    expect(ended[0]).toBe('other');
  });

  it('refuses a caller with 429 that has too many long reports waiting, and no other', async () => {
    const reader = new ReportReader();
    const answers = await Promise.allSettled(
      Array.from({ length: 100 }, () => reader.read('flood', events(60), double)),
    );
    const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []));
    // More where the machine stands still for longer than a report waits.
    expect(refused.length).toBeGreaterThanOrEqual(35);
    expect(refused[0]).toMatchObject({
      kind: 'throttled',
      code: 'TOO_MANY_REQUESTS',
      extras: { retryAfterSeconds: 1 },
    });
    const beside = Array.from({ length: 100 }, () => reader.read('flood', events(60), double).catch(() => null));
    expect(await reader.read('other', events(60), double)).toHaveLength(60);
    await Promise.all(beside);
  });
});
