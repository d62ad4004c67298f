import { StartRefusal } from '../common/start-refusal.js';

interface RenamedSetting {
  readonly before: string;
  readonly name: string;
  /** Values that were renamed with it. */
  readonly values?: Readonly<Record<string, string>>;
}

/** Names that the first release had. They are read for one more release; then this list is emptied. */
const RENAMED: readonly RenamedSetting[] = [
  { before: 'DEFAULT_HOLD_CENTS', name: 'DEFAULT_RESERVATION_CENTS' },
  { before: 'STALE_MAX_SECONDS', name: 'MAX_STALENESS_SECONDS' },
  { before: 'RATE_FALLBACK', name: 'RATE_LIMIT_FALLBACK', values: { closed: 'deny', share: 'local-share' } },
  { before: 'MAX_REPLICAS', name: 'RATE_LIMIT_FALLBACK_REPLICAS' },
];

/**
 * The variables with those of earlier names under their names of today, and a sentence for each that has to be renamed.
 *
 * @throws StartRefusal naming each setting that is given under both names with different values
 */
export function withRenamedSettings(variables: Readonly<Record<string, string>>): {
  readonly variables: Record<string, string>;
  readonly warnings: readonly string[];
} {
  const result = { ...variables };
  const warnings: string[] = [];
  const refused: string[] = [];
  for (const { before, name, values } of RENAMED) {
    const old = variables[before];
    if (old === undefined) continue;
    const value = values?.[old] ?? old;
    const today = variables[name];
    if (today !== undefined && today !== value) {
      refused.push(`${before} and ${name} are both set, and differ: remove ${before}, the name of earlier releases`);
      continue;
    }
    result[name] = value;
    warnings.push(`${before} is called ${name} now: write ${name}=${value}. The next release does not read ${before}`);
  }
  if (refused.length > 0) throw new StartRefusal(refused.join('\n'));
  return { variables: result, warnings };
}
