import type { CallOptions } from './api.js';
import type { Verdict, VerifyQuestion } from './contract.js';

/** Asks about one key. */
export type AskOne = (question: VerifyQuestion, options: CallOptions) => Promise<Verdict>;

/** Asks about several keys in one request: what becomes of each, in their order, each by itself. Never rejects. */
export type AskMany = (
  questions: readonly VerifyQuestion[],
  options: CallOptions,
) => Promise<readonly Promise<Verdict>[]>;

interface Asked {
  readonly question: VerifyQuestion;
  readonly bytes: number;
  readonly resolve: (verdict: Verdict) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Questions that may share a request: their calls end with the same signal, and are repeated after the same failures.
 */
interface Group {
  readonly options: CallOptions;
  readonly consumesNothing: boolean;
  readonly asked: Asked[];
}

/** What the server takes in one request. */
const MAX_QUESTIONS = 100;
/** The server takes 64 KiB; the rest is for the brackets around the questions. */
const MAX_BYTES = 60_000;

/**
 * Makes one request of the questions that are asked within one turn of the event loop. A question that is alone in its
 * turn is asked by itself. Calls with another `signal` or `timeoutMs` are kept apart.
 */
export class VerifyBatcher {
  private groups: Group[] = [];

  constructor(
    private readonly askOne: AskOne,
    private readonly askMany: AskMany,
  ) {}

  /** Resolves and rejects as `askOne` does, whatever becomes of the other questions. */
  verify(question: VerifyQuestion, options: CallOptions): Promise<Verdict> {
    if (this.groups.length === 0) setImmediate(() => this.send());
    return new Promise((resolve, reject) => {
      // A copy, lists and all: what the caller does to the question afterwards must not change what is asked.
      const text = JSON.stringify(question);
      const asked = {
        question: JSON.parse(text) as VerifyQuestion,
        bytes: Buffer.byteLength(text) + 1,
        resolve,
        reject,
      };
      this.groupOf(question, options).asked.push(asked);
    });
  }

  private groupOf(question: VerifyQuestion, { signal, timeoutMs }: CallOptions): Group {
    const consumesNothing = question.dryRun === true;
    const known = this.groups.find(
      ({ options, ...group }) =>
        options.signal === signal && options.timeoutMs === timeoutMs && group.consumesNothing === consumesNothing,
    );
    if (known !== undefined) return known;
    const group = { options: { signal, timeoutMs }, consumesNothing, asked: [] };
    this.groups.push(group);
    return group;
  }

  private send(): void {
    const groups = this.groups;
    this.groups = [];
    for (const { options, asked } of groups) for (const batch of batchesOf(asked)) void this.ask(batch, options);
  }

  private async ask(batch: readonly Asked[], options: CallOptions): Promise<void> {
    const [first] = batch;
    if (batch.length === 1) return this.askOne(first!.question, options).then(first!.resolve, first!.reject);
    const outcomes = await this.askMany(
      batch.map(({ question }) => question),
      options,
    );
    // One that is asked again keeps no other waiting: a verdict is worth nothing once it is old.
    batch.forEach(({ resolve, reject }, index) => void outcomes[index]!.then(resolve, reject));
  }
}

/** As few as the server's limits allow, in the order in which the questions were asked. */
function batchesOf(asked: readonly Asked[]): Asked[][] {
  const batches: Asked[][] = [];
  let bytes = 0;
  for (const one of asked) {
    const last = batches.at(-1);
    if (last === undefined || last.length === MAX_QUESTIONS || bytes + one.bytes > MAX_BYTES) {
      batches.push([one]);
      bytes = one.bytes;
    } else {
      last.push(one);
      bytes += one.bytes;
    }
  }
  return batches;
}
