import { readdirSync, readFileSync } from 'node:fs';

const FOLDER = new URL('../../deploy/grafana/', `file://${import.meta.dirname}/`);

interface Dashboard {
  readonly uid: string;
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
}

/** A query of a panel, as Grafana sends it where all jobs and replicas are chosen. */
export interface PanelQuery {
  /** The dashboard and the panel. */
  readonly where: string;
  readonly expr: string;
}

/** Every query of the dashboards in deploy/grafana. */
export function panelQueries(rateInterval: string): PanelQuery[] {
  return readdirSync(FOLDER)
    .map((name) => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as Dashboard)
    .flatMap(({ uid, panels }) =>
      panels.flatMap(({ title, targets }) =>
        targets.map(({ expr }) => ({
          where: `${uid}, ${title}`,
          expr: expr.replaceAll('$__rate_interval', rateInterval).replaceAll(/\$(job|instance)/g, '.*'),
        })),
      ),
    );
}

/** Whether a Prometheus has a number for a query now. */
export async function hasData(prometheusUrl: string, { expr }: PanelQuery): Promise<boolean> {
  const answer = await fetch(`${prometheusUrl}/api/v1/query?query=${encodeURIComponent(expr)}`);
  const { data } = (await answer.json()) as { data: { result: { value: [number, string] }[] } };
  return data.result.some(({ value: [, number] }) => number !== 'NaN');
}
