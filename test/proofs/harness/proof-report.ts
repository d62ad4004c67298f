import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Violations of one experiment that a summary shows. */
const SHOWN = 5;

/** What is printed of an experiment. */
export interface Line {
  readonly id: string;
  readonly held?: boolean;
  readonly noticed?: boolean;
  readonly skipped?: string;
  readonly seed?: number;
  readonly violations?: readonly string[] | number;
  readonly error?: string;
  /** What else is told: the guarantee, and figures. */
  readonly [figure: string]: unknown;
}

/** What a file has of experiments, for a summary. */
interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly { readonly id: string; readonly what: string }[];
}

/** Counts what came of experiments, and what did not hold. */
export class ProofReport {
  constructor(private counts: Counts = { passed: 0, failed: 0, skipped: 0, failures: [] }) {}

  /** Goes on with what another process has reported; that it did not, has failed. */
  static async after(file: string): Promise<ProofReport> {
    try {
      return new ProofReport(JSON.parse(await readFile(file, 'utf8')) as Counts);
    } catch (error) {
      const report = new ProofReport();
      report.fail('of those that share the machine', `There is no report: ${(error as Error).message}`);
      return report;
    }
  }

  get failed(): number {
    return this.counts.failed;
  }

  add({ id, skipped, held, noticed, seed, violations, error }: Line): void {
    const { counts } = this;
    if (skipped !== undefined) this.counts = { ...counts, skipped: counts.skipped + 1 };
    else if (held === true || noticed === true) this.counts = { ...counts, passed: counts.passed + 1 };
    else {
      const found = Array.isArray(violations) ? violations.slice(0, SHOWN) : [];
      this.fail(id, [`seed ${seed}`, ...found, error ?? []].flat().join('\n'));
    }
  }

  /** `null` for one proof and fewer, whose line says it all. */
  summary(): string | null {
    const { passed, failed, skipped } = this.counts;
    if (passed + failed + skipped <= 1) return null;
    return `${passed} proofs passed, ${failed} proofs failed, ${skipped} proofs skipped`;
  }

  /** Writes that what is under way did not come to its end: so it is read where this process is killed meanwhile. */
  async begin(file: string, what: string): Promise<void> {
    const unfinished = new ProofReport(this.counts);
    unfinished.fail(what, 'They did not come to their end.');
    await unfinished.write(file);
  }

  async write(file: string): Promise<void> {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, JSON.stringify(this.counts));
  }

  private fail(id: string, what: string): void {
    const { counts } = this;
    this.counts = { ...counts, failed: counts.failed + 1, failures: [...counts.failures, { id, what }] };
  }
}
