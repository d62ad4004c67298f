import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Random } from '../../simulation/random.js';
import { ODD_ZONES, PERIOD_CASES } from '../../simulation/limits/period-cases.js';
import { periodAt } from '../../simulation/limits/zone-periods.js';
import type { CalendarPer, ZonePeriod } from '../../simulation/limits/zone-periods.js';
import { createQuotaDatabase, type QuotaDatabase } from './quota-database.js';

const SEED = Number(process.env.SIMULATION_SEED ?? 1);
const ROUNDS = 400;

interface Question {
  readonly at: number;
  readonly per: CalendarPer;
  readonly zone: string;
}

describe('the periods that PostgreSQL computes', () => {
  let database: QuotaDatabase;
  beforeAll(async () => (database = await createQuotaDatabase()));
  afterAll(() => database.drop());

  async function ask(questions: readonly Question[]): Promise<ZonePeriod[]> {
    const rows = await database.sql(
      `SELECT p.name, quota_ms(p.starts_at) AS start, quota_ms(p.ends_at) AS "end"
       FROM unnest($1::float8[], $2::text[], $3::text[]) WITH ORDINALITY AS q(ms, per, zone, n),
         LATERAL limit_period_at(to_timestamp(q.ms / 1000), q.per, q.zone) p
       ORDER BY q.n`,
      [questions.map(({ at }) => at), questions.map(({ per }) => per), questions.map(({ zone }) => zone)],
    );
    return rows.map(({ name, start, end }) => ({ name: String(name), startMs: Number(start), endMs: Number(end) }));
  }

  it.each(PERIOD_CASES)('are those of the zone: $what', async ({ per, zone, at, name, start, end }) => {
    const [period] = await ask([{ at: Date.parse(at), per, zone }]);
    expect(period).toEqual({ name, startMs: Date.parse(start), endMs: Date.parse(end) });
  });

  it(`equal the second book in ${ROUNDS} cases, half of them within two hours of a midnight`, async () => {
    const random = new Random(SEED);
    // Years whose rules no release of the zones will change any more: Node and PostgreSQL have one each.
    const questions = Array.from({ length: ROUNDS }, (): Question => {
      const zone = random.pick(ODD_ZONES);
      const per = random.pick(['day', 'week', 'month'] as const);
      const at = Date.UTC(2015, 0, 1) + random.between(0, 3_450 * 86_400) * 1_000;
      const near = periodAt(per, at, zone).endMs + random.between(-7_200, 7_200) * 1_000;
      return { at: random.chance(0.5) ? at : near, per, zone };
    });
    const expected = questions.map(({ per, at, zone }) => periodAt(per, at, zone));
    const answers = await ask(questions);
    const wrong = questions.flatMap((question, index) =>
      JSON.stringify(answers[index]) === JSON.stringify(expected[index])
        ? []
        : [{ question, is: answers[index], shouldBe: expected[index], seed: SEED }],
    );
    expect(wrong).toEqual([]);
    expect(answers).toHaveLength(ROUNDS);
  });

  it('have no end where a limit counts for good', async () => {
    const [row] = await database.sql(`SELECT * FROM limit_period_at(now(), 'total', 'UTC')`, []);
    expect(row).toMatchObject({ name: 'total', starts_at: -Infinity, ends_at: Infinity });
  });
});
