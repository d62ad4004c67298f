import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** Key material of servers that tests start. */
export const SECRETS = {
  JWT_SECRET: 'jwt-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
  API_KEY_PEPPERS: '1:pepper-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
  TAG_KEYS: '1:tag-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
  RESERVATION_KEY: 'reservation-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
  AUDIT_KEY: 'audit-0123456789abcdefghijklmnopqrstuvwxyz-0123456789',
};

const PATIENCE_MS = 55_000;

/** A line of the log. */
export type Line = Record<string, unknown>;

/** A server as a process of its own, in a session of its own, so that a test may signal it and its parents. */
export class Started {
  stdout = '';
  stderr = '';
  /** The exit code once all output has been read; null: ended by a signal. */
  readonly ended: Promise<number | null>;
  private readonly child: ChildProcess;

  constructor(command: string, args: string[], environment: Record<string, string>) {
    this.child = spawn(command, args, {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.child.stdout!.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    // Not `exit`: a process below it may still write, and holds the pipes until it has ended.
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
  }

  /** The entry point, from the sources. */
  static fromSources(environment: Record<string, string>, args: string[] = []): Started {
    return new Started(
      process.execPath,
      ['--import', './test/support/register-typescript.mjs', 'src/server/main.ts', ...args],
      environment,
    );
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Resolves when standard error has this text. */
  until(text: string): Promise<void> {
    return this.wait(`did not say ${text}`, () => this.stderr.includes(text));
  }

  /** The first line of the log with this message, once it is there. */
  async line(msg: string): Promise<Line> {
    await this.wait(`did not log ${msg}`, () => this.lines().some((line) => line['msg'] === msg));
    return this.lines().find((line) => line['msg'] === msg)!;
  }

  /** What has been logged so far. npm's own words are no part of it. */
  lines(): Line[] {
    const whole = this.stdout.slice(0, this.stdout.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Line);
  }

  /** Sends a signal and waits for the end of everything that was started. */
  end(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    return this.ended;
  }

  /** Kills whatever is left of its session; for the end of a test. */
  kill(): void {
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // Nothing is left.
    }
  }

  private async wait(complaint: string, isThere: () => boolean): Promise<void> {
    for (const deadline = Date.now() + PATIENCE_MS; !isThere(); await sleep(25)) {
      if (Date.now() > deadline || this.child.exitCode !== null)
        throw new Error(`It ${complaint}:\n${this.stdout}\n${this.stderr}`);
    }
  }
}
