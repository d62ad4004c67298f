import { expect } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from './eventually.js';
import { freePort } from './free-port.js';

const RULES = new URL('../../deploy/prometheus/alerts.yaml', `file://${import.meta.filename}`);
const PATIENCE_MS = 120_000;
/** Alerts that have fired of late: one that fires for a second is not missed between two looks. */
const FIRED = 'last_over_time(ALERTS{alertstate="firing"}[10m])';

/** A Prometheus that scrapes servers every second and notes which alerts fire. */
export class AlertWatch {
  /** Names of alerts that have fired so far. */
  readonly seen = new Set<string>();
  private readonly targets: string[] = [];

  private constructor(
    readonly url: string,
    private readonly directory: string,
    private readonly process: ChildProcess,
  ) {}

  /** With the rules as they are, but for how long each must hold: that has tests of its own. */
  static async start(directory: string, token: string): Promise<AlertWatch> {
    const port = await freePort();
    await writeFile(join(directory, 'alerts.yaml'), withoutFor(await readFile(RULES, 'utf8')));
    await writeFile(join(directory, 'targets.json'), '[]');
    await writeFile(
      join(directory, 'prometheus.json'),
      JSON.stringify({
        global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
        rule_files: [join(directory, 'alerts.yaml')],
        scrape_configs: [
          {
            job_name: 'latchkey',
            authorization: { type: 'Bearer', credentials: token },
            file_sd_configs: [{ files: [join(directory, 'targets.json')], refresh_interval: '1s' }],
          },
        ],
      }),
    );
    const child = spawn(
      'prometheus',
      [
        `--config.file=${join(directory, 'prometheus.json')}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--log.level=error',
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const url = `http://127.0.0.1:${port}`;
    await eventually(async () => expect((await fetch(`${url}/-/ready`)).ok).toBe(true), PATIENCE_MS);
    return new AlertWatch(url, directory, child);
  }

  /** Scrapes one more server, and returns when that has been done once: what rises from then on is an increase. */
  async add(baseUrl: string): Promise<void> {
    const { host } = new URL(baseUrl);
    this.targets.push(host);
    // Prometheus reads it as soon as it changes: never a part of it.
    await writeFile(join(this.directory, 'targets.new'), JSON.stringify([{ targets: this.targets }]));
    await rename(join(this.directory, 'targets.new'), join(this.directory, 'targets.json'));
    await eventually(async () => expect(await this.ask(`up{instance="${host}"} == 1`)).toHaveLength(1), PATIENCE_MS);
  }

  /** Waits until these alerts have fired, and notes all that do; `meanwhile` is done again and again. */
  async untilTrue(names: readonly string[], meanwhile: () => Promise<unknown> = async () => undefined): Promise<void> {
    await eventually(async () => {
      await Promise.allSettled([meanwhile()]);
      await sleep(250);
      for (const { metric } of await this.ask(FIRED)) this.seen.add(metric.alertname!);
      expect(names.filter((name) => !this.seen.has(name))).toEqual([]);
    }, PATIENCE_MS);
  }

  private async ask(query: string): Promise<readonly { readonly metric: Readonly<Record<string, string>> }[]> {
    const answer = await fetch(`${this.url}/api/v1/query?query=${encodeURIComponent(query)}`);
    return ((await answer.json()) as { data: { result: { metric: Record<string, string> }[] } }).data.result;
  }

  stop(): void {
    this.process.kill('SIGKILL');
  }
}

/** The rules without `for`. */
function withoutFor(text: string): string {
  return text.replaceAll(/^ +for: .*\n/gm, '');
}
