import type { Admission, AdmitRequest } from '../../src/quotas/admission.js';
import { LeaseManager } from '../../src/quotas/lease-manager.js';
import type { LeaseManagerOptions } from '../../src/quotas/lease-manager-options.js';
import type { AcquireRequest, GiveBack, QuotaStore } from '../../src/quotas/quota-store.js';
import type { SlotStore } from '../../src/quotas/slots/slot-store.js';
import { EventQueue } from './event-queue.js';
import { QuotaStoreModel } from './quota-store-model.js';

/** The key whose account calls draw from. */
export const KEY = '00000000-0000-4000-8000-000000000001';
/** When virtual time begins. */
export const START = Date.UTC(2026, 5, 15);

/** A lease manager before the model of the store, on virtual time, over a wire of 5 ms that can be cut. */
export class Stage {
  readonly events = new EventQueue();
  readonly model = new QuotaStoreModel(() => Math.floor(START + this.events.now));
  readonly calls: AcquireRequest[] = [];
  readonly backs: GiveBack[] = [];
  isCut = false;
  isHung = false;
  wallOffset = 0;
  private ids = 0;
  readonly leaseManager: LeaseManager;

  constructor(options: Partial<LeaseManagerOptions> = {}, slots: SlotStore | null = null) {
    const store: QuotaStore = {
      acquire: (request) => {
        this.calls.push(request);
        return this.wire(() => this.model.acquire(request));
      },
      giveBack: (back) => {
        this.backs.push(back);
        return this.wire(() => this.model.giveBack(back));
      },
      settle: () => Promise.reject(new Error('not here')),
      closeExpired: () => Promise.reject(new Error('not here')),
    };
    const clock = {
      monotonicMs: () => this.events.now,
      wallMs: () => START + this.events.now + this.wallOffset,
      after: (delayMs: number, run: () => void) => this.events.at(this.events.now + delayMs, run),
    };
    const newId = (): string => `00000000-0000-4000-8000-${String(++this.ids + 100).padStart(12, '0')}`;
    this.leaseManager = new LeaseManager(store, clock, newId, { replicaId: 'one', ...options }, slots);
  }

  private wire<T>(act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.isHung) return;
      const isCut = this.isCut;
      this.events.at(this.events.now + 5, () => (isCut ? reject(new Error('cut')) : resolve(act())));
    });
  }

  async pass(ms: number): Promise<void> {
    const until = this.events.now + ms;
    for (let run = this.events.next(until); run !== null; run = this.events.next(until)) {
      run();
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
    this.events.now = until;
  }

  /** The verdict, within `ms` of virtual time. */
  async admit(request: Partial<AdmitRequest>, ms = 1_200): Promise<Admission | null> {
    let verdict: Admission | null = null;
    void Promise.resolve(this.leaseManager.admit(call(request))).then((admission) => (verdict = admission));
    for (let passed = 0; passed < ms && verdict === null; passed += 5) await this.pass(5);
    return verdict;
  }
}

/** A call that holds nothing, unless it says otherwise. */
export function call(given: Partial<AdmitRequest>): AdmitRequest {
  return {
    accounts: [{ id: KEY, type: 'total' }],
    windows: [],
    cost: 1,
    reserve: 0n,
    ttlSeconds: 60,
    isDefaultHold: false,
    ...given,
  };
}
