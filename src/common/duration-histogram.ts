/** Upper bounds in seconds: fine where a verify lives, coarse where something is wrong. */
const BOUNDS_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

type Labels = Readonly<Record<string, string>>;

/** One line of Prometheus' text. */
interface Sample {
  readonly metricName: string;
  readonly labels: Labels;
  readonly value: number;
}

/** Durations of one kind of thing. */
export class DurationSeries {
  private readonly counts = new Float64Array(BOUNDS_SECONDS.length);
  private count = 0;
  private sum = 0;

  constructor(readonly labels: Labels) {}

  /** Counts one duration. */
  observe(seconds: number): void {
    this.count += 1;
    this.sum += seconds;
    for (let index = 0; index < BOUNDS_SECONDS.length; index += 1) {
      if (seconds <= BOUNDS_SECONDS[index]!) {
        this.counts[index]! += 1;
        return;
      }
    }
  }

  /** Cumulative buckets, sum and count, as Prometheus wants them. */
  samples(name: string): Sample[] {
    let below = 0;
    const buckets = BOUNDS_SECONDS.map((bound, index) => {
      below += this.counts[index]!;
      return { metricName: `${name}_bucket`, labels: { ...this.labels, le: String(bound) }, value: below };
    });
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { ...this.labels, le: '+Inf' }, value: this.count },
      { metricName: `${name}_sum`, labels: this.labels, value: this.sum },
      { metricName: `${name}_count`, labels: this.labels, value: this.count },
    ];
  }
}

/**
 * A histogram for what is observed on every request: prom-client's looks its labels up by sorting and joining them each
 * time. Here a caller keeps the series it observes, and the text is made when Prometheus asks.
 */
export class DurationHistogram {
  readonly type = 'histogram';
  private readonly all: DurationSeries[] = [];

  constructor(
    readonly name: string,
    readonly help: string,
    /** As prom-client's own metrics name them. */
    readonly labelNames: readonly string[] = [],
  ) {}

  /** A new series; its labels are of a closed set and are not used twice. */
  series(labels: Labels): DurationSeries {
    const series = new DurationSeries(labels);
    this.all.push(series);
    return series;
  }

  /** What the registry asks for. */
  get(): Promise<{ name: string; help: string; type: 'histogram'; aggregator: 'sum'; values: Sample[] }> {
    const values = this.all.flatMap((series) => series.samples(this.name));
    return Promise.resolve({ name: this.name, help: this.help, type: this.type, aggregator: 'sum', values });
  }
}
