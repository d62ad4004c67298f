import type { Clock } from '../common/clock.js';

/** Time as the quota cores see it: given from outside, so that a simulation can own it. */
export type QuotaClock = Pick<Clock, 'monotonicMs' | 'wallMs' | 'after'>;
