/** What can be presented as a key, whatever it is: longer text is refused before it is looked at. */
export const PRESENTED_KEY = { type: 'string', minLength: 1, maxLength: 512 } as const;
