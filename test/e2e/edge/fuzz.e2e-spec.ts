import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addDemoData } from '../../../src/server/demo.js';
import { Random } from '../../proofs/harness/random.js';
import { TestApp } from '../../support/app.js';
import { AnswerJudge, Fuzzer } from '../../support/fuzz.js';
import { textOf } from '../../support/endless.js';
import { checkedInDocument } from '../../support/openapi.js';

const REQUESTS = 500;

/** A seed of its own each day: a failure names it, and `FUZZ_SEED` replays it. */
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Date.now() / 86_400_000));

describe('made-up requests', () => {
  let app: TestApp;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '100000' });
    await addDemoData(app.app, app.config);
  });
  afterAll(() => app.stop());

  it(`of seed ${SEED} never crash or stall the server, and get the answers that the document promises`, async () => {
    const document = await checkedInDocument();
    const fuzzer = new Fuzzer(document, new Random(SEED));
    const judge = new AnswerJudge(document);
    let token = await app.adminToken();
    const statuses = new Map<number, number>();
    const problems: string[] = [];
    for (let index = 0; index < REQUESTS; index += 1) {
      const request = fuzzer.next();
      const headers = { ...request.headers, ...(request.authenticated ? { authorization: `Bearer ${token}` } : {}) };
      const body = request.method === 'GET' || request.method === 'HEAD' ? null : request.body;
      const started = performance.now();
      const response = await fetch(`${app.baseUrl}${request.target}`, {
        method: request.method,
        headers,
        body,
        redirect: 'manual',
      });
      const text = await textOf(request.target, response);
      const answer = {
        status: response.status,
        headers: (name: string) => response.headers.get(name),
        text,
        milliseconds: performance.now() - started,
      };
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      const problem = judge.problem(request, answer);
      if (problem)
        problems.push(
          `${index}: ${request.method} ${request.target.slice(0, 200)} ${JSON.stringify(request.headers)} ${body?.slice(0, 300)}\n  ${problem}`,
        );
      if (request.authenticated && answer.status === 401) token = await app.adminToken();
    }
    expect(problems).toEqual([]);
    // Some of it got through, and not all of it.
    expect([...statuses.keys()].some((status) => status < 300)).toBe(true);
    expect(statuses.get(400) ?? 0).toBeGreaterThan(REQUESTS / 10);
  }, 120_000);
});
