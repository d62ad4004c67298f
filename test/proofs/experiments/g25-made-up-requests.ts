import { AnswerJudge, type FuzzRequest, Fuzzer } from '../../support/fuzz.js';
import { checkedInDocument } from '../../support/openapi.js';
import { ADMIN, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';

const REQUESTS = { ci: 10_000, full: 50_000 } as const;
/** Few, so that an answer's time is its own and not that of a queue. */
const CLIENTS = 4;

/** Requests made up from the OpenAPI document, hostile in one or two places, against a whole server. */
export const g25: Experiment = {
  id: 'G25',
  guarantee: '50 000 generated requests from the OpenAPI document (CI 10 000): 0 × 5xx, all answers match the schema, each < 1 s',
  inCi: true,
  fault: { what: 'nothing yet' },
  run: async ({ size, random, log }) => {
    const cluster = await ProofCluster.start(1);
    try {
      const document = await checkedInDocument();
      const fuzzer = new Fuzzer(document, random);
      const judge = new AnswerJudge(document);
      const replica = cluster.replica(0);
      const violations: string[] = [];
      const statuses: Record<string, number> = {};
      let token = cluster.adminToken;
      let slowestMs = 0;
      let sent = 0;

      const sendOne = async (request: FuzzRequest): Promise<void> => {
        const started = performance.now();
        const answer = await send(replica.url, request, token);
        const milliseconds = performance.now() - started;
        slowestMs = Math.max(slowestMs, milliseconds);
        statuses[`status${answer.status}`] = (statuses[`status${answer.status}`] ?? 0) + 1;
        const problem = judge.problem(request, { ...answer, milliseconds });
        if (problem) violations.push(`${request.method} ${request.target.slice(0, 300)} ${JSON.stringify(request.headers)} ${request.body?.slice(0, 500)}: ${problem}`);
        if (request.authenticated && answer.status === 401) {
          const session = await replica.client.post('/auth/login', { body: ADMIN });
          if (session.status === 200) token = session.body.accessToken as string;
        }
      };
      const work = async (): Promise<void> => {
        while (sent < REQUESTS[size] && violations.length < 20) {
          sent += 1;
          if (sent % 1000 === 0) log(`${sent} requests, slowest ${Math.round(slowestMs)} ms`);
          await sendOne(fuzzer.next());
        }
      };
      await Promise.all(Array.from({ length: CLIENTS }, work));
      if (!replica.isRunning) violations.push(`the server ended: ${replica.output.slice(-3).join('')}`);
      const floors = [floor('requests answered with 2xx', 0, 1)] as const;
      return { violations, floors, figures: { requests: sent, slowestMs: Math.round(slowestMs), ...statuses } };
    } finally {
      await cluster.stop();
    }
  },
};

async function send(base: string, request: FuzzRequest, token: string): Promise<{ status: number; headers: (name: string) => string | null; text: string }> {
  const headers = { ...request.headers, ...(request.authenticated ? { authorization: `Bearer ${token}` } : {}) };
  const body = request.method === 'GET' || request.method === 'HEAD' ? null : request.body;
  const response = await fetch(`${base}${request.target}`, { method: request.method, headers, body, redirect: 'manual' });
  return { status: response.status, headers: (name) => response.headers.get(name), text: await response.text() };
}
