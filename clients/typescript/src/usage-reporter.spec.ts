import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { FakeRuntime, settled } from '../test/fake-runtime.js';
import type { SentUsageEvent, UsageResult } from './contract.js';
import { LatchkeyProblem, LatchkeyUnreachable } from './errors.js';
import { UsageReporter, type UsageOptions, type UsageProblem } from './usage-reporter.js';

const KEY = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

/** A server that counts each id once, and fails as it is told. */
class FakeServer {
  readonly batches: string[][] = [];
  readonly booked = new Map<string, SentUsageEvent>();
  /** Thrown one by one before anything is booked; `null`: booked, but the answer is lost. */
  failures: (Error | null)[] = [];
  /** Holds answers back. */
  gate: Promise<void> = Promise.resolve();

  readonly send = async (events: readonly SentUsageEvent[]): Promise<UsageResult[]> => {
    this.batches.push(events.map(({ id }) => id));
    await this.gate;
    const failure = this.failures.shift();
    if (failure) throw failure;
    const results = events.map((event) => this.book(event));
    if (failure === null) throw new LatchkeyUnreachable('CONNECTION_LOST', 'lost');
    return results;
  };

  private book(event: SentUsageEvent): UsageResult {
    const known = this.booked.get(event.id);
    if (event.apiKeyId === 'nobody') return { id: event.id, outcome: 'unknown-key' };
    if (event.model === 'wrong')
      return { id: event.id, outcome: 'invalid', errors: [{ path: 'model', message: 'is wrong' }] };
    if (event.model === 'cut') return { id: event.id, outcome: 'accepted', labelsCut: ['model'] };
    if (known === undefined) this.booked.set(event.id, event);
    else return { id: event.id, outcome: known.costCents === event.costCents ? 'duplicate' : 'conflict' };
    return { id: event.id, outcome: 'accepted' };
  }
}

const unavailable = (retryAfterSeconds: number | null = null) =>
  new LatchkeyProblem(503, 'UNAVAILABLE', 'away', [], null, retryAfterSeconds, {});
const wrong = (...paths: string[]) =>
  new LatchkeyProblem(
    400,
    'VALIDATION_FAILED',
    'wrong',
    paths.map((path) => ({ path, message: 'is wrong' })),
    null,
    null,
    {},
  );
const tooLarge = () => new LatchkeyProblem(413, 'BODY_TOO_LARGE', 'too large', [], null, null, {});

describe('the usage reporter', () => {
  let runtime: FakeRuntime;
  let server: FakeServer;
  let problems: UsageProblem[];

  beforeEach(() => {
    runtime = new FakeRuntime();
    server = new FakeServer();
    problems = [];
  });

  const reporterOf = (options: UsageOptions = {}) =>
    new UsageReporter(server.send, runtime, { onProblem: (problem) => problems.push(problem), ...options });
  const event = (id: string, costCents = 1) => ({ id, apiKeyId: KEY, costCents });

  it('collects what comes within its time into one request', async () => {
    const reporter = reporterOf();
    const results = ['a', 'b', 'c'].map((id) => reporter.report(event(id)));
    await runtime.advance(99);
    expect(server.batches).toEqual([]);
    await runtime.advance(1);
    expect(server.batches).toEqual([['a', 'b', 'c']]);
    expect(await Promise.all(results)).toEqual(['a', 'b', 'c'].map((id) => ({ id, outcome: 'accepted' })));
  });

  it('sends a full batch, and a settlement, without waiting', async () => {
    const reporter = reporterOf({ maxBatch: 2 });
    void reporter.report(event('a'));
    void reporter.report(event('b'));
    await settled();
    expect(server.batches).toEqual([['a', 'b']]);
    await reporter.report(event('c'), { atOnce: true });
    expect(server.batches).toEqual([['a', 'b'], ['c']]);
  });

  it('sends again neither an event that is invalid nor those decided beside it', async () => {
    const reporter = reporterOf();
    const results = [
      reporter.report(event('a')),
      reporter.report({ ...event('b'), model: 'wrong' }),
      reporter.report(event('c')),
    ];
    await runtime.advance(100);
    expect(server.batches).toEqual([['a', 'b', 'c']]);
    expect(await results[0]).toEqual({ id: 'a', outcome: 'accepted' });
    await expect(results[1]).rejects.toMatchObject({
      name: 'UsageUndelivered',
      code: 'REJECTED',
      message: 'The event was refused: model: is wrong',
      event: { id: 'b' },
    });
    expect(await results[2]).toEqual({ id: 'c', outcome: 'accepted' });
    expect([problems.map(({ kind }) => kind), reporter.lost, reporter.queued]).toEqual([['undelivered'], 1, 0]);
  });

  it('counts what is lost, and nothing else', async () => {
    const reporter = reporterOf({ maxQueued: 3 });
    server.failures = [unavailable()];
    void reporter.report({ id: 'n', apiKeyId: 'nobody' });
    void reporter.report(event('a'));
    void reporter.report({ ...event('b'), model: 'cut' });
    void reporter.report(event('full'));
    await runtime.advance(100);
    await runtime.advance(10_000);
    expect(problems.map(({ kind }) => kind)).toEqual(['undelivered', 'delayed', 'not-booked', 'corrected']);
    expect(problems.at(-1)).toMatchObject({ event: { id: 'b' }, fields: ['model'] });
    expect(reporter.lost).toBe(2);
  });

  it.each([NaN, Infinity, -Infinity])('never writes a cost of %p as none', async (costCents) => {
    const reporter = reporterOf();
    await expect(reporter.report({ id: 'a', apiKeyId: KEY, costCents })).rejects.toMatchObject({
      code: 'REJECTED',
      message: `costCents must be a finite number, and is ${costCents}.`,
    });
    expect(await reporter.report({ id: 'b', reservationId: 'r', costCents }, { atOnce: true })).toEqual({
      id: 'b',
      outcome: 'accepted',
    });
    expect(server.booked.get('b')).toEqual({ id: 'b', reservationId: 'r' });
    expect(problems).toMatchObject([{ kind: 'undelivered' }, { kind: 'corrected', fields: ['costCents'] }]);
    expect(reporter.lost).toBe(1);
  });

  it('prints what is lost where no listener is given, and warns of what waits', async () => {
    const printed = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    const warned = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const reporter = new UsageReporter(server.send, runtime);
    server.failures = [unavailable()];
    void reporter.report({ ...event('b'), model: 'wrong' });
    void reporter.report({ id: 'n', apiKeyId: 'nobody' });
    await runtime.advance(100);
    await runtime.advance(10_000);
    expect(printed.mock.calls).toEqual([
      [
        expect.stringMatching(
          /^Latchkey: usage is lost: The event was refused: model: is wrong Report it again .*"id":"b"/,
        ),
      ],
      [expect.stringMatching(/^Latchkey: usage was not booked \(unknown-key\)\. Report it again .*"id":"n"/)],
    ]);
    expect(warned.mock.calls).toEqual([['Usage waits: away', 'LatchkeyUsageWarning']]);
    jest.restoreAllMocks();
  });

  it('never has two requests under way', async () => {
    let open: () => void = () => undefined;
    server.gate = new Promise((resolve) => (open = resolve));
    const reporter = reporterOf();
    void reporter.report(event('a'), { atOnce: true });
    void reporter.report(event('b'), { atOnce: true });
    await settled();
    expect(server.batches).toEqual([['a']]);
    open();
    await settled();
    expect(server.batches).toEqual([['a'], ['b']]);
  });

  it('sends the same ids again until there is an answer, less and less often', async () => {
    server.failures = [unavailable(), unavailable(), unavailable()];
    const reporter = reporterOf();
    const result = reporter.report(event('a'), { atOnce: true });
    await runtime.advance(200);
    expect(server.batches).toHaveLength(2);
    await runtime.advance(399);
    expect(server.batches).toHaveLength(2);
    await runtime.advance(801);
    expect(server.batches).toEqual([['a'], ['a'], ['a'], ['a']]);
    expect(await result).toEqual({ id: 'a', outcome: 'accepted' });
    expect(problems.map(({ kind }) => kind)).toEqual(['delayed', 'delayed', 'delayed']);
  });

  it('counts once what was booked though the answer was lost', async () => {
    server.failures = [null];
    const reporter = reporterOf();
    const result = reporter.report(event('a'), { atOnce: true });
    await runtime.advance(1_000);
    expect(await result).toEqual({ id: 'a', outcome: 'duplicate' });
    expect(server.booked.size).toBe(1);
    expect(problems.map(({ kind }) => kind)).toEqual(['delayed']);
  });

  it('waits for as long as the server asks', async () => {
    server.failures = [unavailable(7)];
    const reporter = reporterOf();
    void reporter.report(event('a'), { atOnce: true });
    await runtime.advance(6_999);
    expect(server.batches).toHaveLength(1);
    await runtime.advance(1);
    expect(server.batches).toHaveLength(2);
  });

  it('refuses an event that does not fit, and keeps those that wait', async () => {
    server.failures = [unavailable(60)];
    const reporter = reporterOf({ maxQueued: 2 });
    const kept = reporter.report(event('a'), { atOnce: true });
    void reporter.report(event('b'));
    await expect(reporter.report(event('c'))).rejects.toMatchObject({ code: 'QUEUE_FULL', event: { id: 'c' } });
    expect(problems).toContainEqual(expect.objectContaining({ kind: 'undelivered' }));
    await runtime.advance(61_000);
    expect((await kept).outcome).toBe('accepted');
    expect([...server.booked.keys()]).toEqual(['a', 'b']);
  });

  it('keeps a place that is held, also when the queue is full meanwhile', async () => {
    const reporter = reporterOf({ maxQueued: 2 });
    const place = reporter.hold();
    void reporter.report(event('a'));
    await expect(reporter.report(event('b'))).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    expect(() => reporter.hold()).toThrow(expect.objectContaining({ code: 'QUEUE_FULL' }));
    expect((await place.fill(event('held'))).outcome).toBe('accepted');
    place.leave();
    expect(() => reporter.hold()).not.toThrow();
  });

  it('tells of events that changed nothing, and goes on', async () => {
    const reporter = reporterOf();
    const results = await Promise.all([
      reporter.report(event('a', 1)),
      reporter.report(event('a', 2)),
      reporter.report({ id: 'n', apiKeyId: 'nobody' }),
      runtime.advance(100),
    ]);
    expect(results.slice(0, 3).map((result) => (result as UsageResult).outcome)).toEqual([
      'accepted',
      'conflict',
      'unknown-key',
    ]);
    expect(problems.map((problem) => problem.kind === 'not-booked' && problem.result.outcome)).toEqual([
      'conflict',
      'unknown-key',
    ]);
  });

  it('takes out the events whose form is wrong and sends the others at once', async () => {
    server.failures = [wrong('events.1.costCents', 'events.1.model')];
    const reporter = reporterOf();
    const [first, bad, last] = ['a', 'b', 'c'].map((id) => reporter.report(event(id)));
    await runtime.advance(100);
    await expect(bad).rejects.toMatchObject({ code: 'REJECTED', event: { id: 'b' } });
    expect((await first!).outcome).toBe('accepted');
    expect((await last!).outcome).toBe('accepted');
    expect(server.batches).toEqual([
      ['a', 'b', 'c'],
      ['a', 'c'],
    ]);
  });

  it('halves a batch that is too large until what is too large is alone', async () => {
    const batches: string[][] = [];
    const reporter = new UsageReporter(
      async (events) => {
        batches.push(events.map(({ id }) => id));
        if (events.some(({ id }) => id === 'huge')) throw tooLarge();
        return events.map(({ id }) => ({ id, outcome: 'accepted' as const }));
      },
      runtime,
      { onProblem: (problem) => problems.push(problem) },
    );
    const results = ['a', 'b', 'huge', 'c'].map((id) => reporter.report(event(id)));
    await runtime.advance(100);
    const outcomes = await Promise.allSettled(results);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(batches[0]).toEqual(['a', 'b', 'huge', 'c']);
  });

  it('keeps a request below a megabyte', async () => {
    const reporter = reporterOf();
    for (let index = 0; index < 2_500; index += 1)
      void reporter.report({ ...event(`event-${index}`), endpoint: 'ü'.repeat(750) });
    await runtime.advance(1_000);
    expect(server.booked.size).toBe(2_500);
    const sizes = server.batches.map((ids) =>
      Buffer.byteLength(JSON.stringify({ events: ids.map((id) => server.booked.get(id)) })),
    );
    expect(Math.max(...sizes)).toBeLessThan(1024 * 1024);
    expect(Math.max(...sizes)).toBeGreaterThan(900_000);
  });

  it('flushes what is queued, without waiting for what comes after', async () => {
    const reporter = reporterOf();
    void reporter.report(event('a'));
    const flushed = reporter.flush();
    server.gate = new Promise(() => undefined);
    void reporter.report(event('b'));
    await flushed;
    expect([...server.booked.keys()]).toEqual(['a']);
  });

  it('sends what is queued before it is closed, and takes nothing more', async () => {
    server.failures = [unavailable(30)];
    const reporter = reporterOf();
    void reporter.report(event('a'), { atOnce: true });
    void reporter.report(event('b'));
    await settled();
    const left = reporter.close(10_000);
    await expect(reporter.report(event('c'))).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
    expect(await left).toEqual([]);
    expect([...server.booked.keys()]).toEqual(['a', 'b']);
  });

  it('waits for the places that are held when it is closed', async () => {
    const reporter = reporterOf();
    const place = reporter.hold();
    const left = reporter.close(10_000);
    await runtime.advance(5_000);
    const result = place.fill(event('held'));
    expect(await left).toEqual([]);
    expect((await result).outcome).toBe('accepted');
  });

  it('hands back what could not be sent before the time to close was over', async () => {
    server.failures = Array.from({ length: 100 }, () => unavailable(1));
    const reporter = reporterOf();
    const reported = reporter.report(event('a'), { atOnce: true });
    const left = reporter.close(10_000);
    await runtime.advance(10_000);
    expect(await left).toEqual([event('a')]);
    await expect(reported).rejects.toMatchObject({ code: 'CLIENT_CLOSED', event: { id: 'a' } });
    const attempts = server.batches.length;
    await runtime.advance(60_000);
    expect(server.batches).toHaveLength(attempts);
  });

  it('sends on when a listener throws', async () => {
    server.failures = [unavailable()];
    const reporter = reporterOf({
      onProblem: () => {
        throw new Error('listener');
      },
    });
    const result = reporter.report(event('a'), { atOnce: true });
    await runtime.advance(1_000);
    expect((await result).outcome).toBe('accepted');
  });

  it('is not changed by what the caller does to the object afterwards', async () => {
    const reporter = reporterOf();
    const mine = event('a', 1);
    const result = reporter.report(mine);
    mine.costCents = 99;
    await runtime.advance(100);
    await result;
    expect(server.booked.get('a')).toMatchObject({ costCents: 1 });
  });
});
