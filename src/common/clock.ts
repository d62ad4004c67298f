import { Injectable } from '@nestjs/common';

/** Time as services see it: a class, so that tests can pass one that stands still or jumps. */
@Injectable()
export class Clock {
  /** Wall time. Never used for deadlines: those are monotonic. */
  now(): Date {
    return new Date();
  }

  /** Milliseconds that only grow, from an arbitrary origin. */
  monotonicMs(): number {
    return performance.now();
  }
}
