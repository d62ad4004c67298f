import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import type { DomainError } from '../common/domain-error.js';
import { Metrics } from '../common/metrics.js';
import { RefusalRecorder, type RefusedRequest } from '../common/refusal-recorder.js';
import type { Act } from './append.js';
import { namedResource } from './named-resource.js';
import { type CountedRefusals, REFUSAL_LIMITS, RefusalTally } from './refusal-tally.js';
import { TrailRecorder } from './trail-recorder.js';
import { Periodic } from '../common/periodic.js';

const SWEEP_MS = 1_000;
const REFUSALS = new Set(['unauthenticated', 'forbidden', 'missing']);
/** Refusals of callers that ask for too much: counted, never told one by one. */
const FLOODS = new Set(['TOO_MANY_REQUESTS', 'CREATION_LIMIT_REACHED']);

/**
 * Records refusals (403, and 404 of a route there is) before they are answered. Of a flood the rest is counted,
 * see `RefusalTally`; a crash loses the counts of at most the last minute. 401s are counted by the
 * metric alone: a caller without credentials must not be able to write to the chain, whose head every revocation needs.
 */
@Injectable()
export class AuditedRefusals extends RefusalRecorder {
  private readonly refusals: ReturnType<typeof Metrics.prototype.counter<'kind'>>;
  private readonly tally = new RefusalTally<Act>();
  private readonly floods = new RefusalTally<Act>({ ...REFUSAL_LIMITS, singly: 0 });
  private readonly sweeps = new Periodic(SWEEP_MS, () => this.sweep(this.clock.monotonicMs())).start();

  constructor(
    private readonly recorder: TrailRecorder,
    private readonly clock: Clock,
    meters: Metrics,
  ) {
    super();
    this.refusals = meters.counter(
      'latchkey_refusals_total',
      'Requests refused as unauthenticated, forbidden or missing.',
      ['kind'],
    );
  }

  async record(error: DomainError, request: RefusedRequest): Promise<void> {
    const nowMs = this.clock.monotonicMs();
    if (REFUSALS.has(error.kind)) this.refusals.labels(error.kind).inc();
    const act = refusedAct(error, request);
    if (act === null) return;
    const { principal } = act.caller;
    const shared = `${act.entry.action} ${error.code}`;
    const tally = FLOODS.has(error.code) ? this.floods : this.tally;
    const isSingle = tally.tellsSingly(`${principal?.kind} ${principal?.id} ${shared}`, shared, act, nowMs);
    if (isSingle) await this.recorder.record(act.caller, act.entry);
  }

  /** Hands the counts of all windows to the recorder, open ones too. */
  close(): void {
    void this.sweeps.stop();
    this.sweep(Number.POSITIVE_INFINITY);
  }

  private sweep(nowMs: number): void {
    for (const counted of [...this.tally.close(nowMs), ...this.floods.close(nowMs)]) this.recordCounted(counted);
  }

  /** Address and request are those of the last one counted. */
  private recordCounted({ example, count, isShared }: CountedRefusals<Act>): void {
    const { caller, entry } = example;
    const { code } = entry.details as { code: string };
    this.recorder.recordLater(isShared ? { ...caller, principal: null } : caller, {
      ...entry,
      resourceId: null,
      details: { code, count, ...(isShared ? { principals: 'several' } : {}) },
    });
  }
}

/** What the trail says of a refusal; null if it says nothing. */
function refusedAct(error: DomainError, { caller, audited, params, routeOptions, method }: RefusedRequest): Act | null {
  if (error.kind !== 'forbidden' && error.kind !== 'missing' && !FLOODS.has(error.code)) return null;
  if (!caller || !audited || (FLOODS.has(error.code) && caller.principal === null)) return null;
  const { resourceId, details } = namedResource(params);
  const { permission } = error.extras;
  return {
    caller,
    entry: {
      action: audited.action,
      resourceType: audited.resourceType,
      resourceId,
      outcome: 'refused',
      details: {
        code: error.code,
        ...(typeof permission === 'string' ? { permission } : {}),
        ...(audited.resourceType === 'route' ? { route: `${method} ${routeOptions.url ?? ''}` } : {}),
        ...details,
      },
    },
  };
}
