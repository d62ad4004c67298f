import type { AdmitRequest, Admission, SlotDemand } from '../../../src/quotas/admission.js';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import { SLOT } from '../../../src/quotas/quota-store.js';
import type { SlotStatement } from '../../../src/quotas/slots/slot-pump.js';
import type { SlotAnswer, SlotRequest, SlotStore } from '../../../src/quotas/slots/slot-store.js';
import type { Waiter } from '../../../src/quotas/waiter.js';

/**
 * Ways to break what a replica does for calls that need slots, one at a time. That a grant admits for 2 s alone is not
 * among them: a call waits 1 s, and no seed of 900 came beyond it.
 */
export type SlotManagerFault =
  | 'keeps-slots-of-refused-calls'
  | 'keeps-late-grants'
  | 'keeps-grants-of-unknown-outcome'
  | 'frees-once'
  | 'frees-slots-of-admitted-calls'
  | 'asks-in-the-first-account-alone'
  | 'asks-for-a-second'
  | 'asks-with-one-lease-for-two'
  | 'takes-the-answer-of-another-call'
  | 'remembers-refusals-too-long'
  | 'admits-without-the-amount';

interface InsidePump {
  store: SlotStore;
  newId: () => string;
  giveBack: (leaseIds: Iterable<string>) => void;
}
interface InsideDesk {
  readonly pump: InsidePump;
  options: { readonly refusalMs: number };
  free: (waiter: Waiter) => void;
  ask: (waiter: Waiter, demand: SlotDemand) => void;
  slotsAnswered: (statement: SlotStatement, answer: SlotAnswer) => void;
}
interface Inside {
  readonly slots: InsideDesk;
  finish: (waiter: Waiter, admission: Admission) => void;
}

/** A lease manager that breaks one rule. */
export function faultySlotManager(fault: SlotManagerFault): typeof LeaseManager {
  return class extends LeaseManager {
    constructor(...of: ConstructorParameters<typeof LeaseManager>) {
      super(...of);
      BREAKS[fault]?.(this as unknown as Inside);
    }
    override admit(request: AdmitRequest): Admission | Promise<Admission> {
      if (fault !== 'admits-without-the-amount') return super.admit(request);
      return super.admit({ ...request, reserve: 0n });
    }
  };
}

const BREAKS: Partial<Record<SlotManagerFault, (inside: Inside) => void>> = {
  'keeps-slots-of-refused-calls': ({ slots }) => {
    slots.free = (waiter) => void (waiter.slots = null);
  },
  'keeps-late-grants': ({ slots }) => {
    const answered = slots.slotsAnswered.bind(slots);
    slots.slotsAnswered = (statement, answer) => {
      const { giveBack } = slots.pump;
      slots.pump.giveBack = () => undefined;
      answered(statement, answer);
      slots.pump.giveBack = giveBack;
    };
  },
  'keeps-grants-of-unknown-outcome': ({ slots: { pump } }) => {
    let isUnknown = false;
    const take = pump.store.take.bind(pump.store);
    const giveBack = pump.giveBack.bind(pump);
    pump.giveBack = (leaseIds) => (isUnknown ? void (isUnknown = false) : giveBack(leaseIds));
    pump.store = {
      ...storeOf(pump),
      take: (request) =>
        take(request).catch((error: unknown) => {
          isUnknown = true;
          throw error;
        }),
    };
  },
  'frees-once': ({ slots: { pump } }) => {
    const free = pump.store.free.bind(pump.store);
    pump.store = { ...storeOf(pump), free: (leaseIds) => free(leaseIds).catch(() => undefined) };
  },
  'frees-slots-of-admitted-calls': (inside) => {
    const finish = inside.finish.bind(inside);
    inside.finish = (waiter, admission) => {
      finish(waiter, admission);
      const holds = admission.admitted ? (admission.reservation?.holds ?? []) : [];
      inside.slots.pump.giveBack(holds.flatMap(({ period, leaseId }) => (period === SLOT ? leaseId : [])));
    };
  },
  'asks-in-the-first-account-alone': ({ slots }) => {
    const ask = slots.ask.bind(slots);
    slots.ask = (waiter: Waiter, demand: SlotDemand) =>
      ask(waiter, { ...demand, accounts: demand.accounts.slice(0, 1) });
  },
  'asks-for-a-second': ({ slots: { pump } }) =>
    changeRequests(pump, ({ replicaId, calls }) => ({
      replicaId,
      calls: calls.map(({ needs }) => ({ needs, ttlSeconds: 1 })),
    })),
  'asks-with-one-lease-for-two': ({ slots: { pump } }) => {
    const newId = pump.newId.bind(pump);
    let last: string | null = null;
    pump.newId = () => {
      const id = last ?? newId();
      last = last === null ? id : null;
      return id;
    };
  },
  'takes-the-answer-of-another-call': ({ slots: { pump } }) => {
    const take = pump.store.take.bind(pump.store);
    pump.store = {
      ...storeOf(pump),
      take: async (request) => {
        const answer = await take(request);
        return { ...answer, calls: [...answer.calls.slice(1), answer.calls[0]!] };
      },
    };
  },
  'remembers-refusals-too-long': ({ slots }) => {
    slots.options = { ...slots.options, refusalMs: 60_000 };
  },
};

function changeRequests(pump: InsidePump, change: (request: SlotRequest) => SlotRequest): void {
  const take = pump.store.take.bind(pump.store);
  pump.store = { ...storeOf(pump), take: (request) => take(change(request)) };
}

const storeOf = ({ store }: InsidePump): SlotStore => ({
  take: (request) => store.take(request),
  free: (leaseIds) => store.free(leaseIds),
});
