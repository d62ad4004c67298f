import { parser } from '@prometheus-io/lezer-promql';
import { readFile } from 'node:fs/promises';

const METRICS_PAGE = new URL('../../docs/metrics.md', `file://${import.meta.dirname}/`);

/** Labels that Prometheus adds to what it scrapes. */
const TARGET_LABELS = ['job', 'instance'];

/** A metric of docs/metrics.md, which a test holds equal to what a server serves. */
export interface KnownMetric {
  readonly name: string;
  readonly labels: readonly string[];
}

/** A selector of an expression: which metrics, by which labels. */
export interface Selector {
  /** A name, or a regular expression that names must match. */
  readonly metric: string | RegExp;
  readonly labels: readonly string[];
}

/** The metrics of docs/metrics.md with the series of histograms, which end in `_bucket`, `_count` and `_sum`. */
export async function knownMetrics(): Promise<KnownMetric[]> {
  const rows = [...(await readFile(METRICS_PAGE, 'utf8')).matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]*) \|/gm)];
  return rows.flatMap(([, name, type, cell]) => {
    const labels = [...cell!.matchAll(/`(\w+)`/g)].map(([, label]) => label!);
    if (type !== 'histogram') return [{ name: name!, labels }];
    return [
      { name: `${name}_bucket`, labels: [...labels, 'le'] },
      ...['_count', '_sum'].map((end) => ({ name: `${name}${end}`, labels })),
    ];
  });
}

/**
 * The selectors of a PromQL expression. Variables of Grafana's ranges are taken for five minutes.
 *
 * @throws Error when it is not PromQL
 */
export function selectorsOf(expression: string): Selector[] {
  const text = expression.replaceAll('$__rate_interval', '5m');
  const selectors: { metric: string | RegExp | null; labels: string[] }[] = [];
  let label = '';
  parser.parse(text).iterate({
    enter(node) {
      const source = text.slice(node.from, node.to);
      const selector = selectors.at(-1);
      if (node.type.isError) throw new Error(`This is not PromQL at ${node.from}: ${expression}`);
      if (node.name === 'VectorSelector') selectors.push({ metric: null, labels: [] });
      else if (node.name === 'Identifier' && selector) selector.metric = source;
      else if (node.name === 'LabelName' && node.node.parent?.name === 'UnquotedLabelMatcher') label = source;
      else if (node.name === 'StringLiteral' && node.node.parent?.name === 'UnquotedLabelMatcher' && selector) {
        if (label === '__name__') selector.metric = new RegExp(`^(?:${source.slice(1, -1)})$`);
        else selector.labels.push(label);
      }
    },
  });
  return selectors.map(({ metric, labels }) => {
    if (metric === null) throw new Error(`A selector names no metric: ${expression}`);
    return { metric, labels };
  });
}

/** The names of metrics that an expression reads, histograms without the end of their series. */
export function metricsRead(expression: string, known: readonly KnownMetric[]): string[] {
  return selectorsOf(expression).flatMap((selector) =>
    metricsOf(selector, known).map(({ name }) => name.replace(/_(bucket|count|sum)$/, '')),
  );
}

/** What is wrong with an expression, a sentence each: a metric or label that no server serves. */
export function problemsOf(expression: string, known: readonly KnownMetric[]): string[] {
  return selectorsOf(expression).flatMap((selector) => {
    const metrics = metricsOf(selector, known);
    if (metrics.length === 0) return [`${String(selector.metric)} is no metric of docs/metrics.md`];
    return selector.labels
      .filter((label) => !TARGET_LABELS.includes(label) && !metrics.some(({ labels }) => labels.includes(label)))
      .map((label) => `${String(selector.metric)} has no label ${label}`);
  });
}

function metricsOf({ metric }: Selector, known: readonly KnownMetric[]): KnownMetric[] {
  return known.filter(({ name }) => (typeof metric === 'string' ? name === metric : metric.test(name)));
}
