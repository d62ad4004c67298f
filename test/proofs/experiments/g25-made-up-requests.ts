import { textOf } from '../../support/endless.js';
import { AnswerJudge, type FuzzRequest, Fuzzer } from '../../support/fuzz.js';
import { checkedInDocument, type NamedOperation, operationsOf } from '../../support/openapi.js';
import type { Step } from '../changes/kinds.js';
import { SCENARIOS } from '../changes/scenarios.js';
import { ADMIN, ProofCluster, type Replica } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor, floorsOfKinds } from '../harness/floors.js';
import { operationOf } from '../requests/operation-of.js';
import { reads, type WellFormed } from '../requests/reads.js';

const REQUESTS = { ci: 7_000, full: 50_000 } as const;
/** Few, so that an answer's time is its own and not that of a queue. */
const CLIENTS = 4;
const MOST_VIOLATIONS = 20;
const SLOW_MS = 1_000;
const LOOKS_AT_SLOW = 3;
/** Without one there are no metrics. */
const METRICS_TOKEN = 'a-token-of-this-experiment-0123456789';
/** Without an identity provider they answer 404. test/e2e/auth/oidc-sign-in.e2e-spec.ts has one. */
const NEVER_2XX = ['GET /api/v1/auth/oidc/login', 'GET /api/v1/auth/oidc/callback'];

/**
 * Requests made up from the OpenAPI document, hostile in one or two places, against a whole server. Before them, each
 * operation of the document gets a request that must succeed, so that the success of each is compared with its schema.
 */
export const g25: Experiment = {
  id: 'G25',
  guarantee:
    '50 000 generated requests from the OpenAPI document (CI 7 000), and one that succeeds for each operation: 0 × 5xx, all answers match the schema, each < 1 s',
  inCi: true,
  fault: { what: 'one route throws once a request is all right', patch: 'throws-on-success.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(1, { TRUSTED_PROXIES: '127.0.0.1/32', METRICS_TOKEN }, fault);
    try {
      const document = await checkedInDocument();
      const fuzzer = new Fuzzer(document, random);
      const trial = new Trial(cluster, new AnswerJudge(document), operationsOf(document));
      await trial.succeed();
      log(`${trial.succeeded.size} operations answered with 2xx`);
      let sent = 0;
      const work = async (): Promise<void> => {
        while (sent < REQUESTS[size] && trial.violations.length < MOST_VIOLATIONS) {
          sent += 1;
          if (sent % 1000 === 0) log(`${sent} requests, slowest ${Math.round(trial.slowestMs)} ms`);
          await trial.send(fuzzer.next());
        }
      };
      await Promise.all(Array.from({ length: CLIENTS }, work));
      const { output, isRunning } = cluster.replica(0);
      if (!isRunning) trial.violations.push(`the server ended: ${output.slice(-3).join('')}`);
      const refused = Object.entries(trial.statuses).reduce(
        (sum, [status, count]) => (status.startsWith('status4') ? sum + count : sum),
        0,
      );
      return {
        violations: trial.violations,
        floors: [
          floor('made-up requests answered', sent, REQUESTS[size]),
          floor('made-up requests refused', refused, REQUESTS[size] / 4),
          ...floorsOfKinds('2xx of', trial.operations(), trial.succeeded, 1),
        ],
        figures: {
          requests: sent,
          operations: trial.succeeded.size,
          slowestMs: Math.round(trial.slowestMs),
          ...trial.statuses,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

interface Sent {
  readonly status: number;
  readonly text: string;
  readonly tookMs: number;
}

/** Sends requests to one server, and judges every answer. */
class Trial {
  readonly violations: string[] = [];
  /** How often each operation was answered with 2xx. */
  readonly succeeded = new Map<string, number>();
  readonly statuses: Record<string, number> = {};
  slowestMs = 0;
  private readonly replica: Replica;
  private token: string;

  constructor(
    private readonly cluster: ProofCluster,
    private readonly judge: AnswerJudge,
    private readonly all: readonly NamedOperation[],
  ) {
    this.replica = cluster.replica(0);
    this.token = cluster.adminToken;
  }

  /** Operations that can succeed here. */
  operations(): string[] {
    return this.all.map(nameOf).filter((name) => !NEVER_2XX.includes(name));
  }

  /** One request that must succeed, or more, for each operation. */
  async succeed(): Promise<void> {
    for (const request of await reads(this.cluster)) await this.mustSucceed(request);
    const me = await this.replica.client.request('GET', '/api/v1/auth/me', { token: this.token });
    const other = await this.replica.client.post('/users', {
      token: this.token,
      body: { name: 'Other', email: 'other@latchkey.test' },
    });
    for (const [index, scenario] of SCENARIOS.entries()) {
      const steps = scenario({
        name: `g25-${index}`,
        adminToken: this.token,
        adminId: me.body.user.id as string,
        otherOwnerId: other.body.id as string,
      });
      for (const step of steps) if (!(await this.change(step))) break;
    }
  }

  async send(request: FuzzRequest): Promise<void> {
    const { status, tookMs } = await this.judged(this.authenticated(request));
    this.slowestMs = Math.max(this.slowestMs, tookMs);
    this.statuses[`status${status}`] = (this.statuses[`status${status}`] ?? 0) + 1;
    if (tookMs > SLOW_MS) await this.sendAgain(request, tookMs);
    if (!request.authenticated || status !== 401) return;
    const session = await this.replica.client.post('/auth/login', { body: ADMIN });
    if (session.status === 200) this.token = session.body.accessToken as string;
  }

  /** What is slow by its content is slow each time; what is slow on a machine that is busy is not. */
  private async sendAgain(request: FuzzRequest, firstMs: number): Promise<void> {
    const took = [firstMs];
    while (took.length < LOOKS_AT_SLOW && took.at(-1)! > SLOW_MS)
      took.push((await this.judged(this.authenticated(request))).tookMs);
    if (took.every((one) => one > SLOW_MS))
      this.violations.push(
        `${request.method} ${request.target.slice(0, 300)} ${request.body?.slice(0, 500)}: took ${took.map(Math.round).join(', ')} ms`,
      );
  }

  private authenticated(request: FuzzRequest): FuzzRequest {
    return request.authenticated
      ? { ...request, headers: { ...request.headers, authorization: `Bearer ${this.token}` } }
      : request;
  }

  private async change({ request, expected, wasDone }: Step): Promise<boolean> {
    const { method, path, token, body } = request();
    const { status, text } = await this.mustSucceed({
      method,
      target: `/api/v1${path}`,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (status >= 300) return false;
    const answer: unknown = text === '' ? {} : JSON.parse(text);
    if (wasDone?.(answer) === false) this.violations.push(`${method} ${path} did nothing: ${text.slice(0, 300)}`);
    expected(answer);
    return true;
  }

  private async mustSucceed({ method, target, headers, body }: WellFormed): Promise<Sent> {
    const operation = operationOf(this.all, method, target);
    if (operation === undefined) throw new Error(`The document has no operation for ${method} ${target}.`);
    const sent = await this.judged({
      method,
      target,
      headers: { ...headers },
      body: body ?? null,
      authenticated: true,
      operation,
    });
    if (sent.status >= 300)
      this.violations.push(`${method} ${target} answered ${sent.status}: ${sent.text.slice(0, 300)}`);
    return sent;
  }

  /** All but its time, which the caller judges. */
  private async judged(request: FuzzRequest): Promise<Sent> {
    const { method, target, headers, operation } = request;
    const body = method === 'GET' || method === 'HEAD' ? null : request.body;
    const began = performance.now();
    const response = await fetch(`${this.replica.url}${target}`, { method, headers, body, redirect: 'manual' });
    const answer = {
      status: response.status,
      headers: (name: string) => response.headers.get(name),
      text: await textOf(target, response),
    };
    const tookMs = performance.now() - began;
    const problem = this.judge.problem(request, { ...answer, milliseconds: 0 });
    const { authorization: _, ...shown } = headers;
    if (problem)
      this.violations.push(
        `${method} ${target.slice(0, 300)} ${JSON.stringify(shown)} ${request.body?.slice(0, 500)}: ${problem}`,
      );
    if (response.ok && method === operation.method)
      this.succeeded.set(nameOf(operation), (this.succeeded.get(nameOf(operation)) ?? 0) + 1);
    return { ...answer, tookMs };
  }
}

function nameOf({ method, path }: NamedOperation): string {
  return `${method} ${path}`;
}
