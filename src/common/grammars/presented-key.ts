/** Characters of what can be a key, made here or imported; a longer text is none. */
export const MAX_KEY_CHARACTERS = 512;

/** What is presented as a key, whatever it is: a text that can be none is a verdict, and no fault of the request. */
export const PRESENTED_KEY = { type: 'string', minLength: 1 } as const;
