import { type UsageLineView, UsagePointView, type UsageSums } from './usage-reads.view.js';

/** Models that get a line of their own. */
const MAX_MODELS = 50;

/** Usage within one step, of one model or of all. */
export interface SeriesStep {
  readonly at: Date;
  readonly model: string | null;
  readonly sums: UsageSums;
}

const NONE: UsageSums = { requests: 0n, inputTokens: 0n, outputTokens: 0n, costMicroCents: 0n };

/** One line over all steps; steps without usage are zero. */
export function lineOf(steps: readonly SeriesStep[], starts: readonly Date[]): UsageLineView {
  return { points: pointsOf(steps, starts) };
}

/** One line a model, the dearest first; what is beyond the fiftieth together in a last one. */
export function linesByModel(steps: readonly SeriesStep[], starts: readonly Date[]): UsageLineView[] {
  const byModel = new Map<string | null, SeriesStep[]>();
  for (const step of steps) {
    const of = byModel.get(step.model);
    if (of === undefined) byModel.set(step.model, [step]);
    else of.push(step);
  }
  const weightOf = (of: readonly SeriesStep[]) => of.reduce((sum, { sums }) => add(sum, sums), NONE);
  const ranked = [...byModel]
    .map(([model, of]) => ({ model, of, weight: weightOf(of) }))
    .sort((a, b) => compare(b.weight, a.weight));
  const lines = ranked
    .slice(0, MAX_MODELS)
    .map(({ model, of }): UsageLineView => ({ model, points: pointsOf(of, starts) }));
  const rest = ranked.slice(MAX_MODELS).flatMap(({ of }) => of);
  return rest.length === 0 ? lines : [...lines, { model: null, isRest: true, points: pointsOf(rest, starts) }];
}

function pointsOf(steps: readonly SeriesStep[], starts: readonly Date[]): UsagePointView[] {
  const sums = new Map<number, UsageSums>();
  for (const step of steps) sums.set(step.at.getTime(), add(sums.get(step.at.getTime()) ?? NONE, step.sums));
  return starts.map((at) => UsagePointView.from(at, sums.get(at.getTime()) ?? NONE));
}

function add(a: UsageSums, b: UsageSums): UsageSums {
  return {
    requests: a.requests + b.requests,
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    costMicroCents: a.costMicroCents + b.costMicroCents,
  };
}

function compare(a: UsageSums, b: UsageSums): number {
  const [left, right] =
    a.costMicroCents === b.costMicroCents ? [a.requests, b.requests] : [a.costMicroCents, b.costMicroCents];
  return Number(left > right) - Number(left < right);
}
