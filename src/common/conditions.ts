import { Injectable } from '@nestjs/common';
import { Metrics } from './metrics.js';

/** How one function of a replica is. */
export interface ConditionState {
  readonly status: 'up' | 'degraded';
  /** What does not work, as a sentence for an operator. It is public: no addresses, no settings, no names of people. */
  readonly reason?: string;
}

/** Gives what is wrong at this moment, or null. Asked by every probe, so it looks at memory alone. */
export type ReadCondition = () => string | null;

/**
 * What can be broken while a process lives and answers: each module names its functions here, once, in a constructor.
 * All are told by `/health` and `/health/ready`, and each is a metric `latchkey_<name>_down`.
 */
@Injectable()
export class Conditions {
  private readonly readers = new Map<string, ReadCondition>();
  private readonly levels = new Map<string, 'warn' | 'error'>();

  constructor(private readonly meters: Metrics) {}

  /**
   * @param name of the function that may be broken, in camel case
   * @param what holds while it works, for the description of the metric
   * @param level of the line that the log gets when it breaks
   */
  register(name: string, what: string, read: ReadCondition, level: 'warn' | 'error' = 'error'): void {
    if (this.readers.has(name)) throw new Error(`There are two conditions ${name}.`);
    this.readers.set(name, read);
    this.levels.set(name, level);
    const metric = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    this.meters.gauge(`latchkey_${metric}_down`, `1 while this does not hold: ${what}.`, () =>
      read() === null ? 0 : 1,
    );
  }

  levelOf(name: string): 'warn' | 'error' {
    return this.levels.get(name) ?? 'error';
  }

  /** All conditions as they are now, by name. */
  check(): Record<string, ConditionState> {
    return Object.fromEntries([...this.readers].map(([name, read]) => [name, stateOf(read())]));
  }
}

function stateOf(reason: string | null): ConditionState {
  return reason === null ? { status: 'up' } : { status: 'degraded', reason };
}
