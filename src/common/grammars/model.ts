import { lineOf } from './line.js';

/** Characters of a model's name. */
export const MODEL_CHARACTERS = 128;

/** The name of a model, or a pattern over names: what can be verified and metered can be allowed, and the reverse. */
export const MODEL = lineOf(MODEL_CHARACTERS);
