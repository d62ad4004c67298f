/** Texts whose names are remembered: more than the product has. */
const MAX_KNOWN = 1_000;
/** Of a text that is not needed to the end. */
const MAX_READ = 2_000;

const known = new Map<string, string>();

/**
 * The name of a statement by its verb and the first table or function in it, as `SELECT api_key`: words of SQL alone,
 * never a value.
 */
export function statementName(text: string): string {
  const name = known.get(text);
  if (name !== undefined) return name;
  const made = nameOf(text.slice(0, MAX_READ));
  if (known.size < MAX_KNOWN) known.set(text, made);
  return made;
}

function nameOf(text: string): string {
  const verb = /^[\s(]*([A-Za-z]{1,12})\b/.exec(text)?.[1]?.toUpperCase() ?? 'SQL';
  // Before the first quote: what is in quotes may be a value.
  const [plain] = text.split("'", 1);
  const target =
    /\b(?:FROM|INTO|UPDATE|TABLE)\s+(?:ONLY\s+)?"?(?:public"?\."?)?([a-z_][a-z0-9_]{1,62})\b/i.exec(plain!) ??
    /^\s*SELECT\s+([a-z_][a-z0-9_]{2,62})\(/i.exec(plain!);
  return target === null ? verb : `${verb} ${target[1]!.toLowerCase()}`;
}
