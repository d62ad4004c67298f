import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterDatabase, ProofCluster } from './cluster.js';
import type { ProofAnswer } from './http-client.js';

const REPORTERS = 6;
const EVENTS = 20;
/** Larger than what a page of the table has left: a full volume is met at once. */
const LABEL = 'x'.repeat(120);

/** Reports usage, makes keys and revokes some of them on every replica, and remembers what was acknowledged. */
export class FullDiskLoad {
  readonly acknowledged: string[] = [];
  readonly created: string[] = [];
  readonly revoked: string[] = [];
  readonly violations: string[] = [];
  refused = 0;
  unanswered = 0;
  /** Of what was acknowledged. */
  slowestMs = 0;
  /** When a report was acknowledged last, by `performance.now()`. */
  lastReportMs = 0;
  private number = 0;
  private ended = false;

  constructor(
    private readonly cluster: ProofCluster<ClusterDatabase>,
    private readonly keyId: string,
  ) {}

  async run(): Promise<void> {
    await Promise.all([...Array.from({ length: REPORTERS }, (_, index) => this.report(index)), this.create()]);
  }

  end(): void {
    this.ended = true;
  }

  private async report(replica: number): Promise<void> {
    while (!this.ended) {
      const ids = Array.from({ length: EVENTS }, () => `f${(this.number += 1)}`);
      const events = ids.map((id) => ({ id, apiKeyId: this.keyId, costCents: 0.001, model: LABEL }));
      const answer = await this.ask(replica, '/usage', { events });
      if (answer?.status === 200) {
        this.acknowledged.push(...this.accepted(ids, answer));
        this.lastReportMs = performance.now();
      }
      await sleep(answer?.status === 200 ? 5 : 50);
    }
  }

  private accepted(ids: readonly string[], { body }: ProofAnswer): string[] {
    const results = body.results as { outcome: string }[];
    const wrong = results.find(({ outcome }) => outcome !== 'accepted');
    if (wrong !== undefined) this.violations.push(`a report was answered ${JSON.stringify(wrong)}`);
    return ids.filter((_, index) => results[index]?.outcome === 'accepted');
  }

  private async create(): Promise<void> {
    for (let turn = 0; !this.ended; turn += 1) {
      const answer = await this.ask(turn, '/api-keys', { description: LABEL });
      const id = answer?.status === 201 ? (answer.body.apiKey.id as string) : null;
      if (id !== null) this.created.push(id);
      if (id !== null && turn % 3 === 0 && (await this.ask(turn + 1, `/api-keys/${id}/revoke`, {}))?.status === 200)
        this.revoked.push(id);
      await sleep(50);
    }
  }

  /** A refusal is a 503 that says so. */
  private async ask(replica: number, path: string, body: object): Promise<ProofAnswer | null> {
    const request = { token: this.cluster.adminToken, body, timeoutMs: 12_000 };
    const start = performance.now();
    const answer = await this.cluster
      .replica(replica)
      .client.post(path, request)
      .catch(() => null);
    if (answer !== null && answer.status < 300) this.slowestMs = Math.max(this.slowestMs, performance.now() - start);
    if (answer === null) this.unanswered += 1;
    else if (answer.status >= 300) {
      this.refused += 1;
      const says = typeof answer.body.detail === 'string' && answer.body.detail.length > 10;
      if (answer.status !== 503 || !says)
        this.violations.push(`${path} answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 200)}`);
    }
    return answer;
  }
}
