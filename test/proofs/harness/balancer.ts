import { setTimeout as sleep } from 'node:timers/promises';
import type { Replica } from './cluster.js';

/** As often as load balancers that are set to be quick. */
const PROBE_MS = 250;

/**
 * What stands before replicas in real life, in small: it asks each for its readiness, sends requests by turns to those
 * that are ready, and knows of an ending replica no sooner than its next look.
 */
export class Balancer {
  private readonly ready = new Set<Replica>();
  private readonly probing: Promise<void>[];
  private stopping = false;
  private turn = 0;

  constructor(private readonly replicas: readonly Replica[]) {
    for (const replica of replicas) this.ready.add(replica);
    this.probing = replicas.map((replica) => this.probe(replica));
  }

  /** The next of those that are ready. */
  next(): Replica {
    for (let tries = 0; tries < this.replicas.length; tries += 1) {
      this.turn += 1;
      const replica = this.replicas[this.turn % this.replicas.length]!;
      if (this.ready.has(replica)) return replica;
    }
    return this.replicas[this.turn % this.replicas.length]!;
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.probing);
  }

  private async probe(replica: Replica): Promise<void> {
    while (!this.stopping) {
      const answer = await replica.client.request('GET', '/health/ready', {}).catch(() => null);
      if (answer?.status === 200) this.ready.add(replica);
      else this.ready.delete(replica);
      await sleep(PROBE_MS);
    }
  }
}
