import type { DataSource } from 'typeorm';

/** So many are named. */
const MAX_NAMED = 100;

/**
 * Totals and accounts that are at least what they say: they have reached the largest sum that is stored, and what is
 * reported is counted no further. @see docs/adr/0031-totals-that-cannot-break.md
 */
export async function findTotalsAtEnd(dataSource: DataSource): Promise<string[]> {
  const rows = await dataSource.query<{ subject: string }[]>(
    `WITH ends AS (SELECT saturated('Infinity') AS sum)
     SELECT 'totals of key ' || key_id AS subject FROM key_totals t, ends
      WHERE greatest(requests, input_tokens, output_tokens, cost_micro_cents) >= ends.sum
     UNION
     SELECT 'totals of key ' || p.key_id FROM ends, (
       SELECT key_id, sum(requests) AS requests, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
              sum(cost_micro_cents) AS cost FROM usage_pending_rows() GROUP BY key_id) p
       JOIN key_totals t ON t.key_id = p.key_id
      WHERE greatest(t.requests + p.requests, t.input_tokens + p.input_tokens, t.output_tokens + p.output_tokens,
                     t.cost_micro_cents + p.cost) >= ends.sum
     UNION ALL
     SELECT concat('account of key ', key_id, ', ', period) FROM budget_account, ends WHERE spent_micro_cents >= ends.sum
     ORDER BY 1 LIMIT ${MAX_NAMED}`,
  );
  return rows.map(({ subject }) => subject);
}
