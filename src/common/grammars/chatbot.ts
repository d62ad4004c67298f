import { lineOf } from './line.js';

/** Characters of a chatbot's name. */
export const CHATBOT_CHARACTERS = 128;

/** The name of a chatbot. */
export const CHATBOT = lineOf(CHATBOT_CHARACTERS);
