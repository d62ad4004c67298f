import { lineOf } from './line.js';

/** Characters of an endpoint. */
export const ENDPOINT_CHARACTERS = 256;

/** The endpoint that a usage event names. */
export const ENDPOINT = lineOf(ENDPOINT_CHARACTERS);
