import { lineOf } from './line.js';

/** The caller's name for a usage event. */
export const EVENT_ID = lineOf(128);
