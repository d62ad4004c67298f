/** Words that stand for a secret in documentation and templates. */
const EXAMPLE_WORD = /change-?_?me|example|secret-?here|placeholder|your-?_?(password|secret|token)|^<.*>$/i;

/** Passwords that Latchkey's own pages print, and names that templates of databases use as passwords. In lower case. */
const PRINTED = new Set([
  'a long enough password',
  'another long password',
  'correct horse battery staple',
  'the-password-that-the-terminal-shows',
  'admin',
  'latchkey',
  'latchkey_app',
  'password',
  'postgres',
  'root',
  'secret',
]);

/** Whether a value can be read in documentation: ours, or a template's. */
export function isExampleValue(text: string): boolean {
  return EXAMPLE_WORD.test(text) || PRINTED.has(text.trim().toLowerCase());
}

/** Whether a value has fewer than `least` different characters, as nothing drawn at random has. */
export function hasFewerCharacters(text: string, least: number): boolean {
  return new Set(text).size < least;
}
