import { describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { type AlertRule, alertRules, alertTests } from '../support/prometheus.js';
import { knownMetrics, metricsRead, problemsOf } from '../support/promql.js';

const ROOT = new URL('../../', `file://${import.meta.dirname}/`);
const PAGE = new URL('docs/metrics.md', ROOT);
const MARK = '<!-- alerts -->\n';

const rules = alertRules();
const tests = alertTests();
const known = await knownMetrics();

describe('deploy/prometheus/alerts.yaml', () => {
  it('is the table of docs/metrics.md: UPDATE_CONTRACT=1 writes it', async () => {
    const page = await readFile(PAGE, 'utf8');
    if (process.env['UPDATE_CONTRACT'] === '1') await writeFile(PAGE, withTable(page));
    expect(await readFile(PAGE, 'utf8')).toBe(withTable(page));
  });

  it('asks for metrics and labels that a server serves', () => {
    const problems = rules.flatMap(({ alert, expr }) =>
      problemsOf(expr, known).map((problem) => `${alert}: ${problem}`),
    );
    expect(problems).toEqual([]);
    expect(rules.length).toBeGreaterThan(25);
  });

  it('has an alert on each function that can stop working', () => {
    const watched = new Set(rules.flatMap(({ expr }) => metricsRead(expr, known)));
    const missing = known.filter(({ name }) => name.endsWith('_down') && !watched.has(name));
    expect(
      missing.map(({ name }) => `${name} has no alert: add a rule to alerts.yaml and its timing to alerts.test.yaml`),
    ).toEqual([]);
  });

  it('says of each alert what is the case, what to do, and where the docs say more', async () => {
    for (const { alert, labels, annotations } of rules) {
      expect([alert, alert]).toEqual([alert, expect.stringMatching(/^Latchkey[A-Z]\w+$/)]);
      expect([alert, labels.severity]).toEqual([alert, expect.stringMatching(/^(critical|warning)$/)]);
      expect([alert, annotations.summary]).toEqual([alert, expect.stringMatching(/^.{15,}\.$/)]);
      expect([alert, annotations.action]).toEqual([alert, expect.stringMatching(/^.{10,}[.?]$/)]);
      const [file, heading] = annotations.runbook.split('#');
      expect([alert, file, existsSync(new URL(file!, ROOT))]).toEqual([
        alert,
        expect.stringMatching(/^docs\/.+\.md$/),
        true,
      ]);
      expect(headingsOf(await readFile(new URL(file!, ROOT), 'utf8'))).toContain(heading);
    }
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  });

  it('has a test of each alert’s timing: when it fires, and when it does not', () => {
    const missing = rules.flatMap(({ alert }) => {
      const asked = tests
        .filter(({ name }) => name === alert)
        .flatMap(({ promql_expr_test }) => promql_expr_test)
        .filter(({ expr }) => expr === `count(ALERTS{alertname="${alert}",alertstate="firing"})`);
      const fires = asked.some(({ exp_samples }) => exp_samples.length > 0);
      const isSilent = asked.some(({ exp_samples }) => exp_samples.length === 0);
      return fires && isSilent
        ? []
        : [`${alert}: add a test to alerts.test.yaml in which it fires, and is silent before`];
    });
    expect(missing).toEqual([]);
    expect(tests.filter(({ name }) => !rules.some(({ alert }) => alert === name))).toEqual([]);
  });
});

/** The page with the table of alerts as it should be. */
function withTable(page: string): string {
  const table = [
    '| alert | fires when | for | severity | what to do |',
    '|---|---|---|---|---|',
    ...rules.map(rowOf),
  ].join('\n');
  const at = page.indexOf(MARK) + MARK.length;
  return page.slice(0, at) + table + page.slice(at).replace(/^(\|[^\n]*\n)*/, '\n');
}

function rowOf({ alert, expr, labels, annotations: { summary, action, runbook }, ...rule }: AlertRule): string {
  const [page, heading] = runbook.split('#');
  const said = `${summary.replaceAll(/ ?\(?\{\{[^}]*\}\}\)?/g, '')} ${action}`.replaceAll('|', '\\|');
  const cells = [`\`${alert}\``, `\`${expr.replaceAll('|', '\\|')}\``, rule.for ?? '', labels.severity];
  return `| ${cells.join(' | ')} | ${said} [More](${page!.replace('docs/', '')}#${heading}) |`;
}

function headingsOf(page: string): string[] {
  return (page.match(/^#+ .*$/gm) ?? []).map((line) =>
    line
      .replace(/^#+ /, '')
      .toLowerCase()
      .replace(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );
}
