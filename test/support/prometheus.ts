import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';

const FOLDER = new URL('../../deploy/prometheus/', `file://${import.meta.dirname}/`);

/** A rule of deploy/prometheus/alerts.yaml. */
export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly action: string; readonly runbook: string };
}

/** A test of deploy/prometheus/alerts.test.yaml: how many alerts fire at some instants. */
export interface AlertTest {
  readonly name: string;
  readonly promql_expr_test: readonly { readonly expr: string; readonly exp_samples: readonly { value: number }[] }[];
}

/** All alert rules, in the order of the file. */
export function alertRules(): AlertRule[] {
  const { groups } = load(readFileSync(new URL('alerts.yaml', FOLDER), 'utf8')) as { groups: { rules: AlertRule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

/** The tests of their timing. */
export function alertTests(): AlertTest[] {
  return (load(readFileSync(new URL('alerts.test.yaml', FOLDER), 'utf8')) as { tests: AlertTest[] }).tests;
}

/** Whether promtool can be run; said loudly where not, because then no timing has been tested. */
export function hasPromtool(): boolean {
  if (spawnSync('promtool', ['--version']).status === 0) return true;
  process.stderr.write(
    '\nTESTS OF ALERTS SKIPPED: there is no promtool here. Install it (apt-get install prometheus) to try when they fire.\n\n',
  );
  return false;
}

/** Runs promtool in deploy/prometheus; gives what it says, and whether all is well. */
export function promtool(args: readonly string[]): { ok: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: FOLDER, encoding: 'utf8' });
  return { ok: status === 0, output: `${stdout}${stderr}` };
}
