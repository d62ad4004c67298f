import { Injectable, Logger } from '@nestjs/common';
import { Conditions } from '../common/conditions.js';
import { RepeatedLog } from '../common/repeated-log.js';
import type { FirstBreak } from './chain-verifier.js';

/** A break that lasts is said this often. */
const SAY_EVERY_MS = 60_000;

/** Who looks at new entries before it signs them. */
export type Signer = 'checkpoints' | 'changes';

/**
 * Tells operators of entries of the trail that this server did not write, as those who sign them have found: what they
 * sign must not vouch for the work of a writer of the database.
 */
@Injectable()
export class ChainAlarm {
  private readonly logger = new Logger('Audit');
  private readonly lines = new RepeatedLog((fields) => this.logger.error(fields), 1, SAY_EVERY_MS);
  private readonly found = new Map<Signer, FirstBreak>();

  constructor(conditions: Conditions) {
    conditions.register('auditChain', 'new entries of the audit trail are those that Latchkey wrote', () =>
      this.sentence(),
    );
  }

  /** @param broken null: all entries since the last signature are sound */
  tell(signer: Signer, broken: FirstBreak | null): void {
    if (broken === null) return void this.found.delete(signer);
    this.found.set(signer, broken);
    this.lines.add(signer, {
      msg: 'the audit trail was changed outside of Latchkey: nothing is signed over it',
      ...broken,
    });
  }

  private sentence(): string | null {
    const [broken] = this.found.values();
    if (broken === undefined) return null;
    const { chain, seq } = broken;
    return `Entry ${seq} of the chain of ${chain} was changed or added outside of Latchkey: nothing is signed over it. Run npm run audit:verify.`;
  }
}
