/**
 * The credential that `npm run migrate -- --send` imports with: never an argument, which every user of the machine can
 * read.
 */
export function migrationCredential(): string | null {
  const credential = process.env['LATCHKEY_KEY'] ?? '';
  return credential === '' ? null : credential;
}
